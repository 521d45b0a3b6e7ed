"""Revocation lists: licences that count no longer, though their signature holds. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from licenses.claims import RevocationDocument
from licenses.envelope import Kind, Sealed, malformed, parse_payload
from licenses.keyring import KeyRing


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A list whose signature has been checked. Of two of one issuer the higher seq counts, which the store decides."""

    document: RevocationDocument
    sealed: Sealed

    def reason(self, lic_id: str) -> str | None:
        """Why this licence is revoked; None where it is not."""
        return self.document.revoked.get(lic_id)


def open_revocations(sealed: Sealed, ring: KeyRing) -> RevocationList:
    """Check a block as a list of `ring`'s issuer.

    Raises LicenseError (MALFORMED, UNKNOWN_KEY, BAD_SIGNATURE; REVOKED where its key is).
    """
    sealed.expect(Kind.REVOCATIONS)
    key = ring.entry(sealed.kid, "crl").public_key
    document = parse_payload(sealed.verify(key), RevocationDocument, "revocation list")
    if document.issuer != ring.issuer:
        raise malformed("revocation list", f"one of issuer {ring.issuer}", f"one of {document.issuer}")
    ring.key(sealed.kid, "crl", document.iat)
    return RevocationList(document, sealed)
