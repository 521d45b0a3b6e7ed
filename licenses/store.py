"""The files of what an install holds: key rings, licences, revocation lists, and releases of its own.

    rings/ISSUER-SEQ.txt   installed/ISSUER-LIC_ID-SEQ.txt   revoked/ISSUER-SEQ.txt   released/ISSUER-LIC_ID-SEQ.txt

Everything is checked before it is written, and anew when it is read after a file changed; what a file is called proves
nothing. A bad new file leaves the last good one in force. A good file is never overwritten. `released` says which
licences this install has given up: they count here no longer.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from bundle.files import write_atomically
from bundle.fingerprint import Fingerprint, fingerprint_of
from licenses.claims import ReleaseDocument
from licenses.envelope import MAX_FILE_BYTES, Kind, Sealed, malformed, read_block
from licenses.errors import LicenseError
from licenses.held import Held, Incoming, LicenseKey, Problem, check_incoming
from licenses.keyring import KeyRing
from licenses.license import License
from licenses.request import read_release

RINGS: Final = "rings"
LICENCES: Final = "installed"
REVOKED: Final = "revoked"
RELEASED: Final = "released"
SUFFIX: Final = ".txt"
_FILES_READ: Final = 1000  # of one folder
_Opened = TypeVar("_Opened")


class LicenseStore:
    """folder: of this install's licences; nothing is made before the first file is installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._last: tuple[object, Held] | None = None

    @property
    def fingerprint(self) -> tuple[Fingerprint, ...]:
        """Differs when `read` may find something else."""
        return tuple(fingerprint_of(self.folder / name) for name in (RINGS, LICENCES, REVOKED, RELEASED))

    @property
    def is_empty(self) -> bool:
        return not any(fingerprint_of(self.folder / name) for name in (RINGS, LICENCES, REVOKED))

    def read(self) -> Held:
        """Never raises for what is wrong with a file; `problems` tells of it. The same again until a file changes."""
        fingerprint = self.fingerprint
        if self._last is None or self._last[0] != fingerprint:
            self._last = fingerprint, self._read()
        return self._last[1]

    def _read(self) -> Held:
        held = Held()
        held.released = self._released(held.problems)
        for ring in self._read_all(RINGS, Kind.KEYRING, lambda sealed: [KeyRing.open(sealed)], held):
            held.add_ring(ring)
        for listed in self._read_all(REVOKED, Kind.REVOCATIONS, held.open_revocations, held):
            held.add_revocations(listed)
        for license_ in self._read_all(LICENCES, Kind.LICENSE, held.open_licenses, held):
            held.add_license(license_)
        return held

    def check(self, data: bytes, source: str = "licence file") -> Incoming:
        """Check a file against itself and what is held; writes nothing. Raises as `check_incoming` does."""
        return check_incoming(data, source, self.read())

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
        self, folder: str, kind: Kind, open_: Callable[[Sealed], Sequence[_Opened]], held: Held
    ) -> Iterator[_Opened]:
        for path in self._files(folder, held.problems):
            source = f"{folder}/{path.name}"
            try:
                yield from open_(read_block(_bytes_of(path), kind, source))
            except LicenseError as error:
                held.problems.append(Problem(source, error))
            except OSError as error:
                told = malformed(source, "a file that can be read", error.strerror or str(error))
                held.problems.append(Problem(source, told))

    def _files(self, folder: str, problems: list[Problem]) -> Sequence[Path]:
        try:
            found = sorted(path for path in (self.folder / folder).iterdir() if path.suffix == SUFFIX)
        except FileNotFoundError:
            return ()
        except OSError as error:
            problems.append(_unread(folder, "a folder that can be read", error.strerror or str(error)))
            return ()
        files = [path for path in found if not path.name.startswith(".")]
        if len(files) > _FILES_READ:
            problems.append(_unread(folder, f"at most {_FILES_READ} files", f"{len(files)}; the last ones count not"))
        return files[:_FILES_READ]

    def kept_release(self, lic_id: str) -> bytes | None:
        """The newest release of a licence of that id; None where this install has given none up."""
        kept = [(number, data) for number, release, data in self._releases([]) if release.lic_id == lic_id]
        return max(kept)[1] if kept else None

    def _released(self, problems: list[Problem]) -> dict[LicenseKey, int]:
        found: dict[LicenseKey, int] = {}
        for number, release, _ in self._releases(problems):
            key = release.issuer, release.lic_id
            found[key] = max(number, found.get(key, 0))
        return found

    def _releases(self, problems: list[Problem]) -> Iterator[tuple[int, ReleaseDocument, bytes]]:
        """Of each file that can be read, the number of the licence that it gives up, what it says, and its bytes."""
        for path in self._files(RELEASED, problems):
            with suppress(LicenseError, OSError, ValueError):
                data = _bytes_of(path)
                yield int(path.stem.rpartition("-")[2]), read_release(data), data


def _name(license_: License) -> str:
    return f"{license_.issuer}-{license_.claims.lic_id}-{license_.claims.seq}"


def _unread(folder: str, expected: str, found: str) -> Problem:
    text = f"{folder}: expected {expected}, found {found}. The account that runs Onsight must own it."
    return Problem(folder, LicenseError("LICENSE_MALFORMED", text))


def _bytes_of(path: Path) -> bytes:
    """Raises OSError; for what is no file too, since a pipe would keep its reader for ever."""
    if not path.is_file():
        path.stat()
        raise OSError(errno.EINVAL, "something that is no file")
    with path.open("rb") as file:
        return file.read(MAX_FILE_BYTES + 1)
