"""A licence that an issuer's key ring vouches for. No I/O.

In this order: the key that the block names is looked up in the ring, its signature is checked, the claims are parsed,
and then the key must count for a licence of that date and id. Whether the licence fits this host, this day and this
model is decided elsewhere.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from licenses.claims import Claims
from licenses.envelope import Kind, Sealed, parse_payload
from licenses.keyring import KeyRing


@dataclass(frozen=True, slots=True)
class License:
    """Claims, who made them, and the block that proves it."""

    claims: Claims
    issuer: str
    sealed: Sealed

    @property
    def digest(self) -> str:
        """Tells this licence from any other, of the same lic_id and seq too: see `license_digest`."""
        return license_digest(self.sealed)


def license_digest(sealed: Sealed) -> str:
    """32 hexadecimal digits of the SHA-256 over what is signed. A ring names by it what a revoked key still vouches
    for: the lic_id alone would let whoever stole the key write other claims under an id that is known.
    """
    return hashlib.sha256(sealed.kind.prefix + sealed.payload).hexdigest()[:32]


def open_license(sealed: Sealed, ring: KeyRing) -> License:
    """Check a block as a licence of `ring`'s issuer.

    Raises LicenseError (MALFORMED, UNKNOWN_KEY, BAD_SIGNATURE; REVOKED where its key is).
    """
    sealed.expect(Kind.LICENSE)
    key = ring.entry(sealed.kid, "licence").public_key
    claims = parse_payload(sealed.verify(key), Claims, "licence")
    ring.key(sealed.kid, "licence", claims.iat, claims.lic_id, license_digest(sealed))
    return License(claims, ring.issuer, sealed)
