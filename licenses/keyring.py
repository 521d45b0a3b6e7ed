"""Key rings: which keys speak for an issuer, for what, and when. No I/O.

A ring is signed by both roots of the issuer, and the issuer's id is the digest of these roots: a ring proves itself to
whoever knows the id, which stands in the signed manifest of each bundle that demands a licence. In this order: the
roots that the ring names, both their signatures, its content, its issuer. Which of two rings of one issuer counts (the
higher seq) is the store's matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from bundle.keys import PublicKey
from licenses.claims import RingDocument, RingKey, text_of
from licenses.envelope import Kind, Sealed, malformed, parse_payload, strict_json
from licenses.errors import LicenseError

Use = Literal["licence", "bundle", "crl"]
ROOTS: Final = 2


def issuer_of(roots: Iterable[PublicKey]) -> str:
    """An issuer's id: 32 hexadecimal digits of the SHA-256 over its root keys, in whatever order they come."""
    raw = b"".join(sorted(root.raw for root in roots))
    return hashlib.sha256(b"onsight/issuer/v1\n" + raw).hexdigest()[:32]


def root_order(root: PublicKey) -> tuple[str, bytes]:
    """The order in which roots are named and sign: by key id."""
    return root.key_id, root.raw


@dataclass(frozen=True, slots=True)
class KeyRing:
    """A ring whose signatures have been checked; it speaks for `issuer`, and it is the caller who wants that one."""

    document: RingDocument
    sealed: Sealed

    @classmethod
    def open(cls, sealed: Sealed) -> KeyRing:
        """Check a block as a ring. Raises LicenseError (MALFORMED, BAD_SIGNATURE)."""
        sealed.expect(Kind.KEYRING)
        try:
            named = strict_json(sealed.payload)["roots"]
            roots = sorted({PublicKey.from_raw(bytes.fromhex(each)) for each in named}, key=root_order)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise malformed("keyring", "a ring that names its roots", "none") from error
        if len(roots) != ROOTS:
            raise malformed("keyring", f"{ROOTS} different roots", f"{len(roots)}")
        document = parse_payload(sealed.verify(*roots), RingDocument, "keyring")
        if document.issuer != issuer_of(roots):
            raise LicenseError(
                "LICENSE_BAD_SIGNATURE",
                f"keyring: expected the issuer {issuer_of(roots)}, whose roots signed it, found a ring that calls"
                f" itself {document.issuer}. Ask the issuer for the original file.",
            )
        keys = [key.public for key in document.keys] + [root.raw.hex() for root in roots]
        if len(set(keys)) != len(keys):
            raise malformed("keyring", "another key for each use", "one that stands there twice")
        return cls(document, sealed)

    @property
    def issuer(self) -> str:
        return self.document.issuer

    @property
    def roots(self) -> tuple[PublicKey, ...]:
        """In the order in which they sign."""
        return tuple(sorted((PublicKey.from_raw(bytes.fromhex(each)) for each in self.document.roots), key=root_order))

    @property
    def name(self) -> str:
        """What the issuer calls itself; proves nothing."""
        return self.document.name

    @property
    def seq(self) -> int:
        return self.document.seq

    @property
    def iat(self) -> datetime:
        return self.document.iat

    def entry(self, kid: str, use: Use) -> RingKey:
        """The key of that id and use, whatever its window: to check a signature with before anything is believed.

        Raises LicenseError (UNKNOWN_KEY).
        """
        for key in self.document.keys:
            if key.use == use and key.key_id == kid:
                return key
        raise LicenseError(
            "LICENSE_UNKNOWN_KEY",
            f"expected a {use} key of {self.name} ({self.issuer}), found key {kid}, which its key ring number"
            f" {self.seq} does not hold. Ask the issuer for a file with its newest key ring.",
        )

    def key(self, kid: str, use: Use, at: datetime, lic_id: str | None = None, digest: str | None = None) -> PublicKey:
        """The key of that id and use, if it counts for a document that is dated `at`.

        lic_id, digest: of the licence that it signed; of a revoked key's, those count that the ring names.
        Raises LicenseError (UNKNOWN_KEY, REVOKED).
        """
        key = self.entry(kid, use)
        if not key.not_before <= at <= key.not_after:
            raise LicenseError(
                "LICENSE_UNKNOWN_KEY",
                f"key {kid} of {self.name}: expected a date from {text_of(key.not_before)} to"
                f" {text_of(key.not_after)}, found {text_of(at)}. Ask the issuer to issue it again.",
            )
        if key.revoked and (lic_id is None or digest not in key.allowed.get(lic_id, ())):
            raise LicenseError(
                "LICENSE_REVOKED",
                f"expected a key that {self.name} still stands by, found key {kid}, which it has revoked. Ask the"
                " issuer to issue it again.",
            )
        return key.public_key
