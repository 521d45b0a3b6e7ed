"""What an install holds: key rings, licences and revocation lists, each a file that was checked before it was written.

    rings/ISSUER-SEQ.txt   installed/ISSUER-LIC_ID-SEQ.txt   revoked/ISSUER-SEQ.txt   released/ISSUER-LIC_ID-SEQ.txt

Everything is checked anew at each reading, and what a file is called proves nothing. Of several files of one issuer, or
of one licence, the highest number that can be believed counts, so a bad new file leaves the last good one in force. A
file is never overwritten. `released` says which licences this install has given up: they count here no longer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from bundle.files import write_atomically
from licenses.envelope import MAX_FILE_BYTES, Kind, Sealed, malformed, read_block, read_blocks
from licenses.errors import LicenseError
from licenses.keyring import KeyRing
from licenses.license import License, open_license
from licenses.request import read_release
from licenses.revocation import RevocationList, open_revocations

RINGS: Final = "rings"
LICENCES: Final = "installed"
REVOKED: Final = "revoked"
RELEASED: Final = "released"
SUFFIX: Final = ".txt"
_FILES_READ: Final = 1000  # of one folder
LicenseKey = tuple[str, str]  # issuer and lic_id
_Opened = TypeVar("_Opened")
_Numbered = TypeVar("_Numbered", KeyRing, RevocationList)


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that does not count. file: its name with its folder."""

    file: str
    error: LicenseError


@dataclass(slots=True)
class Holdings:
    """What counts, as far as signatures go; whether it fits this host and this day is not looked at.

    rings, revocations: by issuer.  licenses: every one that can be believed, by issuer and lic_id, highest seq first.
    """

    rings: dict[str, KeyRing] = field(default_factory=dict)
    revocations: dict[str, RevocationList] = field(default_factory=dict)
    licenses: dict[LicenseKey, list[License]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def signed_dates(self) -> list[datetime]:
        """Dates that must have been, since an issuer has signed them."""
        return [
            *(ring.document.iat for ring in self.rings.values()),
            *(each.document.iat for each in self.revocations.values()),
            *(license_.claims.iat for held in self.licenses.values() for license_ in held),
        ]

    def reason_revoked(self, license_: License) -> str | None:
        """Why the licence is revoked; None where it is not, as far as this install knows."""
        listed = self.revocations.get(license_.issuer)
        return None if listed is None else listed.reason(license_.claims.lic_id)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A file that was checked: what is in it, and what must be written."""

    rings: tuple[KeyRing, ...]
    licenses: tuple[License, ...]
    revocations: tuple[RevocationList, ...]


class LicenseStore:
    """folder: of this install's licences; nothing is made before the first file is installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def is_empty(self) -> bool:
        return not any(next((self.folder / name).glob(f"*{SUFFIX}"), None) for name in (RINGS, LICENCES, REVOKED))

    def read(self) -> Holdings:
        """Never raises for what is wrong with a file; `problems` tells of it."""
        found = Holdings()
        for ring in self._read_all(RINGS, Kind.KEYRING, lambda sealed: [KeyRing.open(sealed)], found):
            _keep_higher(found.rings, ring.issuer, ring)
        rings = found.rings.values()
        for listed in self._read_all(REVOKED, Kind.REVOCATIONS, lambda sealed: _revocations(sealed, rings), found):
            _keep_higher(found.revocations, listed.document.issuer, listed)
        released = self._released()
        for license_ in self._read_all(LICENCES, Kind.LICENSE, lambda sealed: _licenses(sealed, rings), found):
            if license_.claims.seq > released.get(key_of(license_), 0):
                found.licenses.setdefault(key_of(license_), []).append(license_)
        for held in found.licenses.values():
            held.sort(key=lambda each: each.claims.seq, reverse=True)
        return found

    def check(self, data: bytes, source: str = "licence file") -> Incoming:
        """Check a file's blocks against each other and against what is held. Writes nothing.

        Raises LicenseError: MALFORMED, BAD_SIGNATURE, UNKNOWN_KEY, REVOKED, or HOST_MISMATCH where this install has
        given the licence up.
        """
        held = self.read()
        blocks = read_blocks(data, source)
        kinds = (Kind.KEYRING, Kind.LICENSE, Kind.REVOCATIONS)
        for block in blocks:
            if block.kind not in kinds:
                raise malformed(source, "a licence file (key ring, licence, revocation list)", f"a {block.what}")
        rings, revocations = dict(held.rings), dict(held.revocations)
        fresh = [KeyRing.open(block) for block in blocks if block.kind is Kind.KEYRING]
        for ring in fresh:
            known = rings.get(ring.issuer)
            if known is not None and known.seq == ring.seq and known.sealed.payload != ring.sealed.payload:
                raise malformed(source, f"the key ring number {ring.seq} that is installed", "another of that number")
            _keep_higher(rings, ring.issuer, ring)
        lists = [
            one for block in blocks if block.kind is Kind.REVOCATIONS for one in _revocations(block, rings.values())
        ]
        for listed in lists:
            _keep_higher(revocations, listed.document.issuer, listed)
        licenses = [one for block in blocks if block.kind is Kind.LICENSE for one in _licenses(block, rings.values())]
        after = Holdings(rings, revocations)
        released = self._released()
        for license_ in licenses:
            claims = license_.claims
            reason = after.reason_revoked(license_)
            if reason is not None:
                raise revoked(license_, reason)
            if claims.seq <= released.get(key_of(license_), 0):
                raise LicenseError(
                    "LICENSE_HOST_MISMATCH",
                    f"{source}: expected a licence that this install has not given up, found {claims.lic_id} number"
                    f" {claims.seq}, which it has released. Ask the issuer for the next one.",
                )
            for other in held.licenses.get(key_of(license_), ()):
                if other.claims.seq == claims.seq and other.digest != license_.digest:
                    raise malformed(
                        source, f"{claims.lic_id} number {claims.seq} as installed", "another of that number"
                    )
        return Incoming(tuple(fresh), tuple(licenses), tuple(lists))

    def write(self, incoming: Incoming) -> None:
        """Keep what was checked; what is there already stays as it is. Raises OSError."""
        for ring in incoming.rings:
            self._write(RINGS, f"{ring.issuer}-{ring.seq}", ring.sealed)
        for listed in incoming.revocations:
            self._write(REVOKED, f"{listed.document.issuer}-{listed.document.seq}", listed.sealed)
        for license_ in incoming.licenses:
            self._write(LICENCES, _name(license_), license_.sealed)

    def release(self, license_: License, release: str) -> None:
        """Keep this install's release: the licence, and earlier ones of its id, count no longer. Raises OSError."""
        self._write(RELEASED, _name(license_), read_block(release.encode(), Kind.RELEASE))

    def _write(self, folder: str, name: str, sealed: Sealed) -> None:
        path = self.folder / folder / f"{name}{SUFFIX}"
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            write_atomically(path, sealed.to_bytes(), mode=0o600, replace=False)
        except FileExistsError:  # of the same number: another process wrote it, or it is damaged
            if path.read_bytes() != sealed.to_bytes():
                write_atomically(path, sealed.to_bytes(), mode=0o600)

    def _read_all(
        self, folder: str, kind: Kind, open_: Callable[[Sealed], Sequence[_Opened]], found: Holdings
    ) -> Iterator[_Opened]:
        for path in self._files(folder):
            source = f"{folder}/{path.name}"
            try:
                yield from open_(read_block(_bytes_of(path), kind, source))
            except LicenseError as error:
                found.problems.append(Problem(source, error))
            except OSError as error:
                told = malformed(source, "a file that can be read", error.strerror or str(error))
                found.problems.append(Problem(source, told))

    def _files(self, folder: str) -> Sequence[Path]:
        try:
            names = sorted(path for path in (self.folder / folder).iterdir() if path.suffix == SUFFIX)
        except OSError:
            return ()
        return [path for path in names if not path.name.startswith(".")][:_FILES_READ]

    def _released(self) -> dict[LicenseKey, int]:
        """The highest number of each licence that this install has given up."""
        found: dict[LicenseKey, int] = {}
        for path in self._files(RELEASED):
            try:
                release = read_release(_bytes_of(path))
                number = int(path.stem.rpartition("-")[2])
            except (LicenseError, OSError, ValueError):
                continue
            key = release.issuer, release.lic_id
            found[key] = max(number, found.get(key, 0))
        return found


def key_of(license_: License) -> LicenseKey:
    return license_.issuer, license_.claims.lic_id


def revoked(license_: License, reason: str) -> LicenseError:
    return LicenseError(
        "LICENSE_REVOKED",
        f"{license_.claims.lic_id}: expected a licence that counts, found one that its issuer has revoked: {reason}."
        " Ask the issuer for another.",
    )


def _name(license_: License) -> str:
    return f"{license_.issuer}-{license_.claims.lic_id}-{license_.claims.seq}"


def _bytes_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_FILE_BYTES + 1)


def _keep_higher(held: dict[str, _Numbered], issuer: str, found: _Numbered) -> None:
    known = held.get(issuer)
    if known is None or found.document.seq > known.document.seq:
        held[issuer] = found


def _licenses(sealed: Sealed, rings: Iterable[KeyRing]) -> list[License]:
    return _opened(sealed, rings, open_license)


def _revocations(sealed: Sealed, rings: Iterable[KeyRing]) -> list[RevocationList]:
    return _opened(sealed, rings, open_revocations)


def _opened(sealed: Sealed, rings: Iterable[KeyRing], open_: Callable[[Sealed, KeyRing], _Opened]) -> list[_Opened]:
    """As the word of each issuer whose ring vouches for it: whoever lists another's key in a ring of theirs must not
    make that one's licences their own. Raises the LicenseError that tells most.
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
    refused.sort(key=lambda error: error.code == "LICENSE_UNKNOWN_KEY")
    raise (
        refused[0]
        if refused
        else LicenseError(
            "LICENSE_UNKNOWN_KEY",
            f"{sealed.what}: expected the key ring of its issuer, in the file or installed before, found none. Ask"
            " the issuer for a file with the key ring.",
        )
    )
