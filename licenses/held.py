"""What an install believes: key rings, licences and revocation lists whose signatures hold. No I/O.

Of one issuer the ring and the list with the highest number count; of one licence every number is kept, since a renewal
may begin later. A file that comes in is checked against what is held before any of it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeVar

from licenses.envelope import Kind, Sealed, malformed, read_blocks
from licenses.errors import LicenseError
from licenses.keyring import KeyRing
from licenses.license import License, open_license
from licenses.revocation import RevocationList, open_revocations

LicenseKey = tuple[str, str]  # issuer and lic_id
_Opened = TypeVar("_Opened", License, RevocationList)
_Numbered = TypeVar("_Numbered", KeyRing, RevocationList)


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that does not count. file: its name with its folder."""

    file: str
    error: LicenseError


@dataclass(slots=True)
class Held:
    """What counts, as far as signatures go; whether it fits this host and this day is not looked at.

    rings, revocations: by issuer.  licenses: by issuer and lic_id, highest seq first.  released: the highest number of
    each licence that this install has given up.
    """

    rings: dict[str, KeyRing] = field(default_factory=dict)
    revocations: dict[str, RevocationList] = field(default_factory=dict)
    licenses: dict[LicenseKey, list[License]] = field(default_factory=dict)
    released: dict[LicenseKey, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def signed_dates(self) -> list[datetime]:
        """Dates that must have been, since an issuer has signed them."""
        return [
            *(ring.document.iat for ring in self.rings.values()),
            *(each.document.iat for each in self.revocations.values()),
            *(license_.claims.iat for held in self.licenses.values() for license_ in held),
        ]

    def revocation_of(self, license_: License) -> LicenseError | None:
        """Why the licence is revoked; None where it is not, as far as this install knows."""
        listed = self.revocations.get(license_.issuer)
        reason = None if listed is None else listed.reason(license_.claims.lic_id)
        if reason is None:
            return None
        return LicenseError(
            "LICENSE_REVOKED",
            f"{license_.claims.lic_id}: expected a licence that counts, found one that its issuer has revoked:"
            f" {reason}. Ask the issuer for another.",
        )

    def add_ring(self, ring: KeyRing) -> None:
        _keep_higher(self.rings, ring.issuer, ring)

    def add_revocations(self, listed: RevocationList) -> None:
        _keep_higher(self.revocations, listed.document.issuer, listed)

    def add_license(self, license_: License) -> None:
        """One that this install has given up is left out."""
        key = key_of(license_)
        if license_.claims.seq > self.released.get(key, 0):
            self.licenses[key] = sorted(
                [*self.licenses.get(key, ()), license_], key=lambda each: each.claims.seq, reverse=True
            )

    def open_licenses(self, sealed: Sealed) -> list[License]:
        """A block as the word of each issuer whose ring vouches for it. Raises LicenseError where none does."""
        return _opened(sealed, self.rings.values(), open_license)

    def open_revocations(self, sealed: Sealed) -> list[RevocationList]:
        """A block as the word of each issuer whose ring vouches for it. Raises LicenseError where none does."""
        return _opened(sealed, self.rings.values(), open_revocations)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A file that was checked: what is in it, and may be kept."""

    rings: tuple[KeyRing, ...]
    licenses: tuple[License, ...]
    revocations: tuple[RevocationList, ...]

    @property
    def latest(self) -> datetime:
        """The latest of their dates."""
        return max(
            *(ring.document.iat for ring in self.rings),
            *(license_.claims.iat for license_ in self.licenses),
            *(listed.document.iat for listed in self.revocations),
            datetime.min.replace(tzinfo=UTC),
        )


def check_incoming(data: bytes, source: str, held: Held) -> Incoming:
    """Check a file's blocks against each other and against what is held. source: what errors call the file.

    Raises LicenseError: MALFORMED, BAD_SIGNATURE, UNKNOWN_KEY, REVOKED, or HOST_MISMATCH for a licence that this
    install has given up.
    """
    after = replace(held, rings=dict(held.rings), revocations=dict(held.revocations))
    blocks = read_blocks(data, source)
    for block in blocks:
        if block.kind not in (Kind.KEYRING, Kind.LICENSE, Kind.REVOCATIONS):
            raise malformed(source, "a licence file (key ring, licence, revocation list)", f"a {block.what}")
    rings = [KeyRing.open(block) for block in blocks if block.kind is Kind.KEYRING]
    for ring in rings:
        _same_number(source, "key ring", after.rings.get(ring.issuer), ring)
        after.add_ring(ring)
    lists = [one for block in blocks if block.kind is Kind.REVOCATIONS for one in after.open_revocations(block)]
    for listed in lists:
        _same_number(source, "revocation list", after.revocations.get(listed.document.issuer), listed)
        after.add_revocations(listed)
    licenses = [one for block in blocks if block.kind is Kind.LICENSE for one in after.open_licenses(block)]
    for license_ in licenses:
        claims = license_.claims
        if revocation := after.revocation_of(license_):
            raise revocation
        if claims.seq <= held.released.get(key_of(license_), 0):
            raise LicenseError(
                "LICENSE_HOST_MISMATCH",
                f"{source}: expected a licence that this install has not given up, found {claims.lic_id} number"
                f" {claims.seq}, which it has released. Ask the issuer for the next one.",
            )
        for other in held.licenses.get(key_of(license_), ()):
            if other.claims.seq == claims.seq and other.digest != license_.digest:
                raise _another(source, claims.lic_id, claims.seq)
    return Incoming(tuple(rings), tuple(licenses), tuple(lists))


def key_of(license_: License) -> LicenseKey:
    return license_.issuer, license_.claims.lic_id


def _keep_higher(held: dict[str, _Numbered], issuer: str, found: _Numbered) -> None:
    known = held.get(issuer)
    if known is None or found.document.seq > known.document.seq:
        held[issuer] = found


def _same_number(source: str, what: str, held: _Numbered | None, found: _Numbered) -> None:
    if held is None or held.document.seq != found.document.seq:
        return
    if held.sealed.payload != found.sealed.payload:
        raise _another(source, what, found.document.seq)


def _another(source: str, what: str, number: int) -> LicenseError:
    return malformed(source, f"{what} number {number} as it is installed", "another of that number")


def _opened(sealed: Sealed, rings: Iterable[KeyRing], open_: Callable[[Sealed, KeyRing], _Opened]) -> list[_Opened]:
    """Every ring is asked: whoever lists another's key in a ring of theirs must not make that one's licences their own.

    Raises the LicenseError that tells most.
    """
    found: list[_Opened] = []
    refused: list[LicenseError] = []
    for ring in rings:
        try:
            found.append(open_(sealed, ring))
        except LicenseError as error:
            refused.append(error)
    if found:
        return found
    if refused:
        raise min(refused, key=lambda error: error.code == "LICENSE_UNKNOWN_KEY")
    raise LicenseError(
        "LICENSE_UNKNOWN_KEY",
        f"{sealed.what}: expected the key ring of its issuer, in the file or installed before, found none. Ask the"
        " issuer for a file with the key ring.",
    )
