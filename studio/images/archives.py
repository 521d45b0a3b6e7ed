"""Read the images of a zip archive one by one, and say of every other entry why it is left out.

In this order: the size of the archive's directory before it is read, the number of entries, what they claim to unpack
to (so a bomb is refused before a byte is unpacked), then entry by entry. Names are labels of what is inside and nothing
else: no file is ever written under one.
"""

from __future__ import annotations

import contextlib
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final

from studio.errors import UploadBroken

ZIP_MAGIC: Final = b"PK\x03\x04"
EMPTY_ZIP_MAGIC: Final = b"PK\x05\x06"
MOST_RATIO: Final = 100  # photos hardly shrink; deflate can reach a thousand
ALWAYS_ALLOWED_BYTES: Final = 256 * 1024**2  # of a small archive of plain pictures, whatever its ratio
MOST_NAME_BYTES: Final = 1024
_END = struct.Struct("<4s4H2LH")  # the end record
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = struct.Struct("<4sLQL")
_WINDOWS, _UNIX = 0, 3  # who made an entry
_IS_UTF8 = 0x800
# Controls, halves of characters, separators of lines, and the marks that turn text around; but no space of any width:
# a Mac names its screenshots with a narrow one.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_JUNK = re.compile(r"(^|/)(__MACOSX/|\.|Thumbs\.db$|desktop\.ini$)", re.IGNORECASE)  # what systems leave in folders


@dataclass(frozen=True, slots=True)
class Entry:
    """One file. data: None where it is left out, and then code and detail say why."""

    name: str
    data: bytes | None
    code: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    max_files: int
    max_unpacked_bytes: int
    max_entry_bytes: int


def read_zip(file: IO[bytes], limits: ArchiveLimits) -> Iterator[Entry]:
    """file: seekable. Folders and what systems leave behind are passed over without a word.

    Raises UploadBroken for what is no zip archive, or is one that nobody packs photos into, before the first entry.
    """
    size = file.seek(0, 2)
    _check_directory(file, size, limits)
    file.seek(0)
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise _broken("expected a zip archive, found a damaged one. Pack the files again.") from error
    infos = [info for info in archive.infolist() if not info.is_dir()]
    _check_sizes(infos, size, limits)
    return _entries(archive, infos, limits)


def is_safe_name(name: str) -> bool:
    """Whether it can be a path below a folder: relative, without `..`, a drive, a backslash or control characters."""
    parts = name.split("/")
    return (
        0 < len(name) <= 500
        and not _UNPRINTABLE.search(name)
        and "\\" not in name
        and not re.match(r"[A-Za-z]:", name)
        and not any(part in ("", ".", "..") for part in parts)
    )


def _check_directory(file: IO[bytes], size: int, limits: ArchiveLimits) -> None:
    """Refuse a directory that would take more memory than its entries may; zipfile reads all of it at once."""
    tail_size = min(size, 65_535 + _END.size)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise _broken("expected a zip archive, found something else, or one that ends early. Send the whole file.")
    _, _, _, _, count, directory_bytes, _, _ = _END.unpack_from(tail, at)
    locator_at = at - _LOCATOR_64.size
    if locator_at >= 0 and tail[locator_at : locator_at + 4] == b"PK\x06\x07":
        _, _, end_64_at, _ = _LOCATOR_64.unpack_from(tail, locator_at)
        if end_64_at + _END_64.size > size:
            raise _broken("expected a whole zip archive, found a damaged one. Pack the files again.")
        file.seek(end_64_at)
        end_64 = _END_64.unpack(file.read(_END_64.size))
        count, directory_bytes = end_64[7], end_64[8]
    if count > limits.max_files or directory_bytes > limits.max_files * (46 + MOST_NAME_BYTES):
        raise _broken(f"expected at most {limits.max_files} files in one archive, found more. Send several.")


def _check_sizes(infos: list[zipfile.ZipInfo], archive_bytes: int, limits: ArchiveLimits) -> None:
    """What is claimed is what is read at most: zipfile stops there, and a wrong claim shows as damage."""
    if len(infos) > limits.max_files:
        raise _broken(f"expected at most {limits.max_files} files in one archive, found {len(infos)}. Send several.")
    packed, unpacked = sum(info.compress_size for info in infos), sum(info.file_size for info in infos)
    if packed > archive_bytes:
        raise _broken("expected files one after the other, found some that overlap: a zip bomb, or damage.")
    if unpacked > limits.max_unpacked_bytes or unpacked > max(ALWAYS_ALLOWED_BYTES, MOST_RATIO * archive_bytes):
        raise _broken(
            f"expected an archive of photos, found one of {archive_bytes} bytes that unpacks to {unpacked}: a zip bomb,"
            " or more than this install allows. Send the photos in several archives."
        )


def _entries(archive: zipfile.ZipFile, infos: list[zipfile.ZipInfo], limits: ArchiveLimits) -> Iterator[Entry]:
    seen: set[str] = set()
    with archive:
        for info in infos:
            name = _name_of(info)
            if name.endswith("/"):  # a folder, as Windows writes it
                continue
            if not is_safe_name(name):
                yield Entry(name, None, "NAME_UNSAFE", "Its name could lead out of its folder, or is unprintable.")
            elif _JUNK.search(name):
                continue
            elif name in seen:
                yield Entry(name, None, "NAME_TWICE", "The archive holds several files of this name; the first counts.")
            else:
                seen.add(name)
                yield _read(archive, info, limits)


def _name_of(info: zipfile.ZipInfo) -> str:
    """As it was meant: with the slashes of all other systems, and in UTF-8 where the archive forgot to say so.

    Some programs of Windows write its own slashes; those of a Mac write UTF-8 without the mark that says it is, and
    what then is hardly ever is UTF-8 by chance.
    """
    name = info.filename
    if not info.flag_bits & _IS_UTF8 and not name.isascii():
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/") if info.create_system == _WINDOWS else name


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limits: ArchiveLimits) -> Entry:
    name, mode = _name_of(info), info.external_attr >> 16
    if info.create_system == _UNIX and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return Entry(name, None, "ENTRY_NO_FILE", "It is a link or a device, not a file.")
    if info.flag_bits & 1:
        return Entry(name, None, "ENTRY_ENCRYPTED", "It is encrypted. Pack it without a password.")
    if info.file_size > limits.max_entry_bytes:
        return Entry(name, None, "IMAGE_TOO_MANY_BYTES", f"It has {info.file_size} bytes.")
    try:
        with archive.open(info) as file:
            return Entry(name, file.read(limits.max_entry_bytes))
    except NotImplementedError:
        return Entry(name, None, "ENTRY_UNREADABLE", "It is packed by a method that is not read here. Use deflate.")
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, struct.error):
        return Entry(name, None, "ENTRY_DAMAGED", "Its part of the archive is damaged. Pack it again.")


def _broken(text: str) -> UploadBroken:
    return UploadBroken(f"archive: {text}")
