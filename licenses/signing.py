"""Licences and revocation lists as an issuer signs them: each is opened again as an install would before it is given.

Reads the key's file; writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pydantic import ValidationError

from bundle.keys import SigningKey
from bundle.reasons import first_complaint
from licenses.claims import Claims, RevocationDocument, Terms, text_of
from licenses.envelope import MAX_FILE_BYTES, Kind, seal
from licenses.errors import IssuerError
from licenses.keyring import KeyRing, Use
from licenses.license import License, open_license
from licenses.register import IssuerFolder
from licenses.revocation import RevocationList, open_revocations


def sign_license(
    folder: IssuerFolder, ring: KeyRing, terms: Terms, lic_id: str, seq: int, now: datetime, valid_from: datetime
) -> License:
    """Raises IssuerError for terms that no licence may hold, KeyFileError."""
    if terms.exp is not None and terms.exp <= now:
        raise IssuerError(f"end: expected a time after now, {text_of(now)}, found {text_of(terms.exp)}. Move it.")
    granted = {name: getattr(terms, name) for name in Terms.model_fields}
    try:
        claims = Claims.model_validate({**granted, "lic_id": lic_id, "seq": seq, "iat": now, "nbf": valid_from})
    except ValidationError as error:
        raise IssuerError(f"licence: {first_complaint(error)}. Choose another value.") from error
    made = open_license(seal(Kind.LICENSE, claims, _key(folder, ring, "licence", now)), ring)
    if not fits(ring.sealed.to_bytes(), made.sealed.to_bytes()):
        raise IssuerError(
            f"licence: expected a file of at most {MAX_FILE_BYTES} bytes with its key ring, found a larger one."
            " Name fewer models or installs in one licence."
        )
    return made


def sign_revocations(
    folder: IssuerFolder, ring: KeyRing, seq: int, revoked: Mapping[str, str], now: datetime
) -> RevocationList:
    """revoked: lic_id -> reason. Raises IssuerError for more than a file may hold, KeyFileError."""
    document = RevocationDocument(issuer=ring.issuer, seq=seq, iat=now, revoked=dict(revoked))
    made = open_revocations(seal(Kind.REVOCATIONS, document, _key(folder, ring, "crl", now)), ring)
    if not fits(made.sealed.to_bytes()):
        raise IssuerError(
            f"revocation list: expected at most {MAX_FILE_BYTES} bytes, found more. Give shorter reasons."
        )
    return made


def fits(*parts: bytes) -> bool:
    """Whether one file may hold all of them."""
    return sum(map(len, parts)) <= MAX_FILE_BYTES


def _key(folder: IssuerFolder, ring: KeyRing, use: Use, now: datetime) -> SigningKey:
    """The ring's newest of that use that counts now."""
    counting = [
        key.key_id for key in ring.document.keys
        if key.use == use and not key.revoked and key.not_before <= now <= key.not_after
    ]  # fmt: skip
    if not counting:
        raise IssuerError(
            f"key ring {ring.seq}: expected a {use} key that counts on {text_of(now)}, found none. Make a new one:"
            f" onsight license keyring rotate {use}"
        )
    path = folder.key_path(use, counting[-1])
    key = SigningKey.load(path)
    if key.public_key.key_id != counting[-1]:
        raise IssuerError(
            f"{path}: expected key {counting[-1]}, found key {key.public_key.key_id}. Restore it from a backup."
        )
    return key
