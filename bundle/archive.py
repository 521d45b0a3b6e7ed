"""Read and write the archive that a bundle travels in: a stored zip, plain or sealed, or the same files in a folder.

The reader is our own and knows one layout alone: entries without gaps from byte 0, then the central directory, then the
end record, then nothing. In this order: end record, count, central directory, names, kinds, sizes, places, and only
then any content, each entry held against its local header, its size and its CRC. What does not fit is refused, not
repaired. Never decompresses, never follows a link, never writes a file while reading, and holds no more than the limits
allow.
"""

from __future__ import annotations

import io
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, NoReturn, Protocol, cast

from bundle.errors import MalformedBundle
from bundle.files import atomic_file
from bundle.sealed import Opener, Recipient, SealedReader, is_sealed, write_sealed

_END = struct.Struct("<4s4H2LH")  # end of central directory
_CENTRAL = struct.Struct("<4s6H3L5H2L")  # central directory header
_LOCAL = struct.Struct("<4s5H3L2H")  # local file header
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # manifest.FileName
_UTF8_NAME_FLAG: Final = 0x800
_UNIX, _DOS_SPECIAL = 3, 0x18  # "made by" system; DOS bits of a directory and of a volume label
_FIXED_TIME: Final = (1980, 1, 1, 0, 0, 0)
_HOW_TO_ZIP: Final = "Copy the bundle again, or pack its files with: zip -0 -X -D."
_MAX_ENTRY_HEADERS: Final = 2048  # bytes of both headers of an entry, with room to spare
_MAX_ZIP_BYTES: Final = 0xFFFF_FFFE  # beyond it a zip needs other records, which the reader does not know


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What a bundle may hold at most; sizes in bytes."""

    max_entries: int = 64
    max_entry_bytes: int = 2 * 1024**3
    max_total_bytes: int = 3 * 1024**3


class Archive(Protocol):
    """An opened archive whose list of entries has been checked; contents are checked as they are read."""

    sealed: bool  # encrypted: what it holds is not to be written anywhere in plain

    @property
    def sizes(self) -> Mapping[str, int]:
        """Entry name -> size in bytes."""

    def read(self, name: str) -> bytes:
        """The whole content of one entry. Raises MalformedBundle."""


def write_archive(out: Path, entries: Mapping[str, bytes], recipients: Sequence[Recipient] = ()) -> None:
    """Write a stored zip, whole or not at all; equal entries (in any order) give equal bytes.

    recipients: encrypt it, so that they alone can read it; then no two writings are alike.

    Raises MalformedBundle for a name or size that `read_archive` would refuse, OSError where `out` cannot be written.
    """
    if len({name.lower() for name in entries}) != len(entries):
        raise MalformedBundle("archive: expected names that differ in more than case. Rename one of the files.")
    for name in entries:
        _check_name(name)
    if sum(len(data) + 300 for data in entries.values()) > _MAX_ZIP_BYTES:
        raise MalformedBundle(f"archive: expected at most {_MAX_ZIP_BYTES} bytes in all. Leave files out.")
    with atomic_file(out) as file:
        if not recipients:
            _write_zip(file, entries)
        else:  # in memory: the plain archive is never on a disk
            plain = io.BytesIO()
            _write_zip(plain, entries)
            write_sealed(file, plain.getbuffer(), recipients)


def _write_zip(file: BinaryIO, entries: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=False) as archive:
        for name in sorted(entries):
            info = zipfile.ZipInfo(name, _FIXED_TIME)
            info.create_system, info.external_attr = _UNIX, (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, entries[name])


def read_archive(path: Path, limits: ArchiveLimits | None = None, opener: Opener | None = None) -> dict[str, bytes]:
    """Every entry of a stored zip or of a folder, by name. Raises MalformedBundle, WrongRecipient."""
    with open_archive(path, limits, opener) as archive:
        return {name: archive.read(name) for name in archive.sizes}


@contextmanager
def open_archive(path: Path, limits: ArchiveLimits | None = None, opener: Opener | None = None) -> Iterator[Archive]:
    """Check the list of entries of the zip or folder at `path`; contents stay unread until asked for.

    opener: this install's key, for a sealed one.
    Raises MalformedBundle, also where `path` does not exist or cannot be read; WrongRecipient.
    """
    limits = limits or ArchiveLimits()
    try:
        if path.is_dir():
            yield _FolderArchive(path, limits)
        else:
            # O_NONBLOCK: a named pipe answers at once and is then refused as no regular file.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    _refuse(path.name, "a regular file", "something else")
                yield _open_zip(path.name, file, limits, opener)
    except OSError as error:
        _refuse(path.name, "a readable file or folder", error.strerror or str(error), "Check the path and permissions.")


def _open_zip(source: str, file: BinaryIO, limits: ArchiveLimits, opener: Opener | None) -> _ZipArchive:
    if not is_sealed(file):
        return _ZipArchive(source, file, limits, sealed=False)
    reader = SealedReader(file, source, opener, limits.max_total_bytes + limits.max_entries * _MAX_ENTRY_HEADERS)
    return _ZipArchive(source, cast(BinaryIO, reader), limits, sealed=True)


@dataclass(frozen=True, slots=True)
class _ZipEntry:
    name: str
    offset: int  # of its local header
    size: int
    crc: int
    flags: int


class _ZipArchive:
    def __init__(self, source: str, file: BinaryIO, limits: ArchiveLimits, *, sealed: bool) -> None:
        self._source, self._file, self.sealed = source, file, sealed
        entries, directory_offset = self._read_directory(limits)
        _check_entries(source, [(entry.name, entry.size) for entry in entries], limits)
        self._entries = {entry.name: entry for entry in entries}
        self._data_offsets = self._place_entries(entries, directory_offset)

    @property
    def sizes(self) -> Mapping[str, int]:
        return {name: entry.size for name, entry in self._entries.items()}

    def read(self, name: str) -> bytes:
        entry = self._entries[name]
        data = self._read_at(self._data_offsets[name], entry.size)
        if zlib.crc32(data) != entry.crc:
            _refuse(f"{self._source}: {name}", "the content that its checksum tells of", "other content")
        return data

    def _read_at(self, offset: int, size: int) -> bytes:
        self._file.seek(offset)
        data = self._file.read(size)
        if len(data) != size:
            _refuse(self._source, f"{size} bytes at offset {offset}", f"{len(data)}")
        return data

    def _read_directory(self, limits: ArchiveLimits) -> tuple[list[_ZipEntry], int]:
        """The central directory's entries, and its offset."""
        source, total = self._source, self._file.seek(0, os.SEEK_END)
        if total < _END.size:
            _refuse(source, "a zip archive", f"{total} bytes")
        signature, disk, first_disk, here, count, size, offset, comment = _END.unpack(
            self._read_at(total - _END.size, _END.size)
        )
        if signature != b"PK\x05\x06" or comment:
            _refuse(source, "a zip archive that ends with its end record", "something else there")
        if disk or first_disk or here != count:
            _refuse(source, "a zip archive in one part", "several parts")
        if count > limits.max_entries:
            _refuse(source, f"at most {limits.max_entries} entries", f"{count}")
        if offset + size + _END.size != total:
            _refuse(source, "the central directory right before the end record", "other bytes between or before them")
        if size > count * (_CENTRAL.size + 1024):
            _refuse(source, "a central directory that fits its entries", f"{size} bytes for {count} entries")
        directory = self._read_at(offset, size)
        entries, at = [], 0
        for _ in range(count):
            entry, at = self._read_central_header(directory, at)
            entries.append(entry)
        if at != size:
            _refuse(source, f"a central directory of {at} bytes", f"{size}")
        return entries, offset

    def _read_central_header(self, directory: bytes, at: int) -> tuple[_ZipEntry, int]:
        source, end = self._source, at + _CENTRAL.size
        if end > len(directory) or directory[at : at + 4] != b"PK\x01\x02":
            _refuse(source, "a central directory header", "something else")
        (_, made_by, _, flags, method, _, _, crc, packed_size, size, name_length, extra_length, comment_length, disk, _,
         attributes, offset) = _CENTRAL.unpack_from(directory, at)  # fmt: skip
        name_bytes = directory[end : end + name_length]
        end += name_length + extra_length + comment_length
        if end > len(directory):
            _refuse(source, "a whole central directory header", "a cut one")
        name = name_bytes.decode("latin-1")
        _check_name(name, source)
        where = f"{source}: {name}"
        if method != zipfile.ZIP_STORED or packed_size != size:
            _refuse(where, "a stored entry (not compressed)", f"compression method {method}", _HOW_TO_ZIP)
        if flags & ~_UTF8_NAME_FLAG:
            kind = "an encrypted entry" if flags & 1 else f"flags {flags:#06x}"
            _refuse(where, "a plain entry", kind, _HOW_TO_ZIP)
        mode = attributes >> 16 if made_by >> 8 == _UNIX or attributes >> 16 else 0
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG) or attributes & _DOS_SPECIAL:
            _refuse(where, "a regular file", f"mode {mode:06o}: a link, folder or device")
        if comment_length or disk:
            _refuse(where, "an entry without a comment, in one part", "another one")
        return _ZipEntry(name, offset, size, crc, flags), end

    def _place_entries(self, entries: list[_ZipEntry], directory_offset: int) -> dict[str, int]:
        """Where each entry's data begins; every byte before the central directory must belong to exactly one entry."""
        places, at = {}, 0
        for entry in sorted(entries, key=lambda entry: entry.offset):
            where = f"{self._source}: {entry.name}"
            if entry.offset != at:
                _refuse(where, f"its local header at offset {at}", f"{entry.offset}: a gap or an overlap")
            if at + _LOCAL.size > directory_offset:
                _refuse(where, "a local header", "the central directory")
            signature, _, flags, method, _, _, crc, packed_size, size, name_length, extra_length = _LOCAL.unpack(
                self._read_at(at, _LOCAL.size)
            )
            name = self._read_at(at + _LOCAL.size, name_length)
            if (signature, method, name) != (b"PK\x03\x04", zipfile.ZIP_STORED, entry.name.encode("latin-1")) or (
                flags, crc, packed_size, size) != (entry.flags, entry.crc, entry.size, entry.size):  # fmt: skip
                _refuse(where, "a local header that says what the central directory says", "a different one")
            places[entry.name] = at + _LOCAL.size + name_length + extra_length
            at = places[entry.name] + size
        if at != directory_offset:
            _refuse(self._source, f"the central directory at offset {at}", f"{directory_offset}: a gap or an overlap")
        return places


class _FolderArchive:
    sealed = False

    def __init__(self, path: Path, limits: ArchiveLimits) -> None:
        self._path = path
        found: list[tuple[str, int]] = []
        with os.scandir(path) as listing:
            for item in listing:
                if len(found) >= limits.max_entries:
                    _refuse(path.name, f"at most {limits.max_entries} files", "more")
                _check_name(item.name, path.name)
                if not item.is_file(follow_symlinks=False):
                    _refuse(f"{path.name}: {item.name}", "a regular file", "a link, folder or device")
                found.append((item.name, item.stat(follow_symlinks=False).st_size))
        _check_entries(path.name, found, limits)
        self.sizes: Mapping[str, int] = dict(sorted(found))

    def read(self, name: str) -> bytes:
        # O_NOFOLLOW: the name may have become a link since it was listed.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(self._path / name, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                _refuse(f"{self._path.name}: {name}", "a regular file", "something else")
            data = file.read(self.sizes[name] + 1)
        if len(data) != self.sizes[name]:
            _refuse(f"{self._path.name}: {name}", f"{self.sizes[name]} bytes", "a file that changes while it is read")
        return data


def _check_entries(source: str, entries: list[tuple[str, int]], limits: ArchiveLimits) -> None:
    seen: set[str] = set()
    for name, size in entries:
        if name.lower() in seen:  # also on file systems that ignore case, one name is one file
            _refuse(f"{source}: {name}", "each name once, in upper or lower case", "it twice")
        seen.add(name.lower())
        if size > limits.max_entry_bytes:
            _refuse(f"{source}: {name}", f"at most {limits.max_entry_bytes} bytes", f"{size}")
    total = sum(size for _, size in entries)
    if total > limits.max_total_bytes:
        _refuse(source, f"at most {limits.max_total_bytes} bytes in all", f"{total}")


def _check_name(name: str, source: str = "archive") -> None:
    if _NAME.fullmatch(name) is None:
        _refuse(source, "plain file names (letters, digits, '.', '_', '-'; no folders)", repr(name[:100]))


def _refuse(where: str, expected: str, found: str, todo: str = "Copy the bundle again.") -> NoReturn:
    raise MalformedBundle(f"{where}: expected {expected}, found {found}. {todo}")
