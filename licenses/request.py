"""A request: what an install tells an issuer of itself, signed with its own key. A release: that it gives a licence up.

Both are read by checking the signature with the key that they name themselves: whoever asks is whoever holds the key.
The install id is the digest of the keys, so neither can speak for another install.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

from bundle.keys import PublicKey
from licenses.claims import ReleaseDocument, RequestDocument
from licenses.envelope import Kind, malformed, parse_payload, read_block, seal, strict_json
from licenses.errors import LicenseError
from licenses.host import Factors
from licenses.identity import InstallIdentity, install_id_of

_Document = TypeVar("_Document", RequestDocument, ReleaseDocument)


def make_request(identity: InstallIdentity, name: str, factors: Factors, now: datetime) -> str:
    """The text of a request file. name: 1 to 200 printable characters, else pydantic's ValidationError."""
    document = RequestDocument.model_validate(
        {
            "name": name,
            "iat": now,
            "sign_public": identity.public_key.raw.hex(),
            "recipient_public": identity.recipient_public.hex(),
            "factors": identity.hashed(factors),
        }
    )
    return seal(Kind.REQUEST, document, identity.sign_key).to_bytes().decode()


def make_release(identity: InstallIdentity, issuer: str, lic_id: str, now: datetime) -> str:
    """The text of a release file: this install uses the licence no longer."""
    document = ReleaseDocument.model_validate(
        {
            "issuer": issuer,
            "lic_id": lic_id,
            "install_id": identity.install_id,
            "sign_public": identity.public_key.raw.hex(),
            "recipient_public": identity.recipient_public.hex(),
            "iat": now,
        }
    )
    return seal(Kind.RELEASE, document, identity.sign_key).to_bytes().decode()


def read_request(data: bytes, source: str = "request") -> RequestDocument:
    """Check a request file. Raises LicenseError (MALFORMED, BAD_SIGNATURE)."""
    return _read(data, Kind.REQUEST, RequestDocument, source)


def read_release(data: bytes, source: str = "release") -> ReleaseDocument:
    """Check a release file. Raises LicenseError (MALFORMED, BAD_SIGNATURE, HOST_MISMATCH)."""
    release = _read(data, Kind.RELEASE, ReleaseDocument, source)
    if release.install_id != install_of(release):
        raise LicenseError(
            "LICENSE_HOST_MISMATCH",
            f"{source}: expected the release of install {release.install_id}, found one that install"
            f" {install_of(release)} has signed. Run `onsight license transfer` on the install that holds the licence.",
        )
    return release


def install_of(document: RequestDocument | ReleaseDocument) -> str:
    """The id of the install whose keys these are."""
    return install_id_of(bytes.fromhex(document.sign_public), bytes.fromhex(document.recipient_public))


def _read(data: bytes, kind: Kind, model: type[_Document], source: str) -> _Document:
    sealed = read_block(data, kind, source)
    try:
        signer = PublicKey.from_raw(bytes.fromhex(strict_json(sealed.payload)["sign_public"]))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise malformed(source, f"a {sealed.what} with the key of the install that made it", "none") from error
    return parse_payload(sealed.verify(signer), model, source)
