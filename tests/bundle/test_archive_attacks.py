"""Archives made by hand to mislead a reader: each is refused, and nothing is ever written outside."""

from __future__ import annotations

import io
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from bundle.archive import ArchiveLimits, read_archive, write_archive
from bundle.errors import MalformedBundle

Builder = Callable[[], bytes]


def zipped(*entries: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return out.getvalue()


def entry(name: str, mode: int = stat.S_IFREG | 0o644, attributes: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16 | attributes
    return info


def local(name: bytes, data: bytes, size: int | None = None) -> bytes:
    size = len(data) if size is None else size
    return struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 0, zlib.crc32(data), size, size, len(name), 0) + name + data


def central(name: bytes, data: bytes, offset: int, size: int | None = None, flags: int = 0) -> bytes:
    size = len(data) if size is None else size
    fields = (b"PK\1\2", 20, 20, flags, 0, 0, 0, zlib.crc32(data), size, size, len(name), 0, 0, 0, 0, 0, offset)
    return struct.pack("<4s6H3L5H2L", *fields) + name


def end(count: int, size: int, offset: int, comment: bytes = b"") -> bytes:
    return struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, size, offset, len(comment)) + comment


def by_hand(locals_: bytes, directory: bytes, count: int) -> bytes:
    return locals_ + directory + end(count, len(directory), len(locals_))


def replaced(archive: bytes, old: bytes, new: bytes, last: bool = False) -> bytes:
    assert old in archive
    assert len(old) == len(new)
    at = archive.rindex(old) if last else archive.index(old)
    return archive[:at] + new + archive[at + len(old) :]


def overlapping() -> bytes:
    """Two entries of the central directory that share one body (the trick of overlapping zip bombs)."""
    body = local(b"a.bin", b"x" * 100)
    return by_hand(body, central(b"a.bin", b"x" * 100, 0) + central(b"b.bin", b"x" * 100, 0), 2)


def nested_overlap() -> bytes:
    """The second local header stands inside the first one's data."""
    inner = local(b"b.bin", b"y")
    body = local(b"a.bin", inner)
    return by_hand(body, central(b"a.bin", inner, 0) + central(b"b.bin", b"y", len(body) - len(inner)), 2)


def gap() -> bytes:
    first, second = local(b"a.bin", b"x"), local(b"b.bin", b"y")
    body = first + b"hidden" + second
    return by_hand(body, central(b"a.bin", b"x", 0) + central(b"b.bin", b"y", len(first) + 6), 2)


def unlisted_local() -> bytes:
    """A local entry that the central directory does not tell of."""
    body = local(b"a.bin", b"x") + local(b"b.bin", b"y")
    return by_hand(body, central(b"a.bin", b"x", 0), 1)


PLAIN = zipped(("a.bin", b"content of a"), ("b.bin", b"content of b"))

# attack -> how to build it, and a part of the reason that it is refused for
ATTACKS: dict[str, tuple[Builder, str]] = {
    "no bytes": (lambda: b"", "0 bytes"),
    "not a zip": (lambda: b"This is a text and no archive at all." * 3, "ends with its end record"),
    "an end record alone, with entries": (lambda: end(3, 0, 0), "a central directory header"),
    "deflated entry": (lambda: zipped(("a.bin", b"x" * 100), method=zipfile.ZIP_DEFLATED), "not compressed"),
    "bzip2 entry": (lambda: zipped(("a.bin", b"x" * 100), method=zipfile.ZIP_BZIP2), "not compressed"),
    "encrypted entry": (lambda: replaced(PLAIN, b"PK\1\2\x14\x03\x14\0\0\0", b"PK\1\2\x14\x03\x14\0\1\0"), "encrypted"),
    "data descriptor": (
        lambda: replaced(PLAIN, b"PK\1\2\x14\x03\x14\0\0\0", b"PK\1\2\x14\x03\x14\0\x08\0"),
        "flags 0x0008",
    ),
    "folder": (lambda: zipped((entry("folder/", stat.S_IFDIR | 0o755, 0x10), b"")), "plain file names"),
    "folder without a slash": (
        lambda: zipped((entry("folder", stat.S_IFDIR | 0o755), b"")),
        "a link, folder or device",
    ),
    "DOS folder bit": (lambda: zipped((entry("folder", stat.S_IFREG | 0o644, 0x10), b"")), "a link, folder or device"),
    "symbolic link": (
        lambda: zipped((entry("link", stat.S_IFLNK | 0o777), b"/etc/passwd")),
        "a link, folder or device",
    ),
    "named pipe": (lambda: zipped((entry("pipe", stat.S_IFIFO | 0o644), b"")), "a link, folder or device"),
    "device": (lambda: zipped((entry("device", stat.S_IFCHR | 0o644), b"")), "a link, folder or device"),
    "parent folder": (lambda: zipped(("../evil.sh", b"x")), "plain file names"),
    "deep parent folder": (lambda: zipped(("a/../../evil.sh", b"x")), "plain file names"),
    "dots alone": (lambda: zipped(("..", b"x")), "plain file names"),
    "absolute path": (lambda: zipped(("/etc/evil", b"x")), "plain file names"),
    "nested path": (lambda: zipped(("models/a.bin", b"x")), "plain file names"),
    "backslash": (lambda: zipped(("a_b.bin", b"x")).replace(b"a_b", b"a\\b"), "plain file names"),
    "drive letter": (lambda: zipped(("C:evil", b"x")), "plain file names"),
    "hidden file": (lambda: zipped((".profile", b"x")), "plain file names"),
    "empty name": (lambda: by_hand(local(b"", b"x"), central(b"", b"x", 0), 1), "plain file names"),
    "zero byte in the name": (
        lambda: by_hand(local(b"a\0.bin", b"x"), central(b"a\0.bin", b"x", 0), 1),
        "plain file names",
    ),
    "new line in the name": (
        lambda: by_hand(local(b"a.bin\n", b"x"), central(b"a.bin\n", b"x", 0), 1),
        "plain file names",
    ),
    "letters beyond ASCII": (lambda: zipped(("\u212aey.bin", b"x")), "plain file names"),
    "name of 101 letters": (lambda: zipped(("a" * 101, b"x")), "plain file names"),
    "the same name twice": (
        lambda: zipped(("a.bin", b"x"), ("c.bin", b"y")).replace(b"c.bin", b"a.bin"),
        "each name once",
    ),
    "two names that differ in case": (lambda: zipped(("a.bin", b"x"), ("A.BIN", b"y")), "each name once"),
    "65 entries": (lambda: zipped(*[(f"f{i}", b"x") for i in range(65)]), "at most 64 entries"),
    "declared larger than it is": (
        lambda: by_hand(local(b"a.bin", b"x", 9), central(b"a.bin", b"x", 0, 9), 1),
        "a gap or an overlap",
    ),
    "declared smaller than it is": (
        lambda: by_hand(local(b"a.bin", b"xyz", 1), central(b"a.bin", b"xyz", 0, 1), 1),
        "a gap or an overlap",
    ),
    "sizes that disagree": (
        lambda: by_hand(local(b"a.bin", b"xyz"), central(b"a.bin", b"xyz", 0, 2), 1),
        "what the central directory says",
    ),
    "names that disagree": (lambda: replaced(PLAIN, b"a.bin", b"z.bin"), "what the central directory says"),
    "checksum error": (lambda: replaced(PLAIN, b"content of a", b"Content of a"), "its checksum"),
    "overlapping entries": (overlapping, "a gap or an overlap"),
    "entry inside an entry": (nested_overlap, "a gap or an overlap"),
    "gap between entries": (gap, "a gap or an overlap"),
    "entry that only has a local header": (unlisted_local, "a gap or an overlap"),
    "bytes before": (lambda: b"#!/bin/sh\n" + PLAIN, "right before the end record"),
    "bytes after": (lambda: PLAIN + b"\0", "ends with its end record"),
    "another archive after": (lambda: PLAIN + PLAIN, "right before the end record"),
    "comment": (lambda: PLAIN[:-2] + struct.pack("<H", 5) + b"hello", "ends with its end record"),
    "count too low": (lambda: PLAIN[:-14] + struct.pack("<2H", 1, 1) + PLAIN[-10:], "a central directory of 51 bytes"),
    "count too high": (lambda: PLAIN[:-14] + struct.pack("<2H", 3, 3) + PLAIN[-10:], "a central directory header"),
    "several disks": (lambda: PLAIN[:-18] + struct.pack("<H", 1) + PLAIN[-16:], "one part"),
    "a directory offset beyond the end": (
        lambda: PLAIN[:-6] + struct.pack("<L", 2**31) + PLAIN[-2:],
        "right before the end record",
    ),
    "zip64 sizes": (
        lambda: by_hand(local(b"a.bin", b"x", 2**32 - 1), central(b"a.bin", b"x", 0, 2**32 - 1), 1),
        "at most 2147483648 bytes",
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_misleading_archive_is_refused(name: str, tmp_path: Path):
    path = tmp_path / "inside" / "attack.onsight"
    path.parent.mkdir()
    build, reason = ATTACKS[name]
    path.write_bytes(build())
    with pytest.raises(MalformedBundle, match=re.escape(reason)):
        read_archive(path)
    assert sorted(tmp_path.rglob("*")) == [path.parent, path]


def test_the_archives_that_attacks_are_made_from_are_read(tmp_path: Path):
    """Otherwise the attacks above could be refused for a reason of their builder's own."""
    path = tmp_path / "plain.onsight"
    path.write_bytes(PLAIN)
    assert read_archive(path) == {"a.bin": b"content of a", "b.bin": b"content of b"}
    path.write_bytes(by_hand(local(b"a.bin", b"xyz"), central(b"a.bin", b"xyz", 0), 1))
    assert read_archive(path) == {"a.bin": b"xyz"}
    path.write_bytes(zipped((entry("a.bin"), b"x")))
    assert read_archive(path) == {"a.bin": b"x"}
    path.write_bytes(zipped(*[(f"f{i}", b"x") for i in range(64)]))
    assert len(read_archive(path)) == 64


def test_a_declared_size_above_the_limit_is_refused_before_anything_is_read(tmp_path: Path):
    path = tmp_path / "large.onsight"
    path.write_bytes(zipped(("a.bin", b"x" * 1000), ("b.bin", b"x" * 1000)))
    assert read_archive(path, ArchiveLimits(max_entry_bytes=1000, max_total_bytes=2000))
    with pytest.raises(MalformedBundle, match="at most 999 bytes"):
        read_archive(path, ArchiveLimits(max_entry_bytes=999))
    with pytest.raises(MalformedBundle, match="at most 1999 bytes in all"):
        read_archive(path, ArchiveLimits(max_total_bytes=1999))
    with pytest.raises(MalformedBundle, match="at most 1 entries"):
        read_archive(path, ArchiveLimits(max_entries=1))


def test_extra_fields_that_other_zip_programs_write_are_ignored(tmp_path: Path):
    info = entry("a.bin")
    info.extra = struct.pack("<HHBL", 0x5455, 5, 1, 1_700_000_000)  # a time stamp
    path = tmp_path / "extra.onsight"
    path.write_bytes(zipped((info, b"x")))
    assert read_archive(path) == {"a.bin": b"x"}


@pytest.mark.parametrize("name", ["../evil", "a/b", "", ".hidden", "a" * 101, "c:evil", "a\\b"])
def test_no_archive_is_written_with_a_name_that_would_be_refused(name: str, tmp_path: Path):
    with pytest.raises(MalformedBundle):
        write_archive(tmp_path / "out.onsight", {name: b"x"})
    assert not list(tmp_path.iterdir())


def test_no_archive_is_written_with_names_that_differ_only_in_case(tmp_path: Path):
    with pytest.raises(MalformedBundle, match="case"):
        write_archive(tmp_path / "out.onsight", {"a.bin": b"x", "A.bin": b"y"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "folder"
    path.mkdir()
    (path / "a.bin").write_bytes(b"x" * 10)
    return path


def test_a_folder_of_plain_files_is_read(folder: Path, tmp_path: Path):
    assert read_archive(folder) == {"a.bin": b"x" * 10}
    (tmp_path / "current").symlink_to(folder)  # a link to the folder itself is the operator's own
    assert read_archive(tmp_path / "current") == {"a.bin": b"x" * 10}


def test_a_folder_with_a_link_is_refused(folder: Path, tmp_path: Path):
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / "b.bin").symlink_to(tmp_path / "secret")
    with pytest.raises(MalformedBundle, match=r"b\.bin: expected a regular file"):
        read_archive(folder)


def test_a_folder_with_a_folder_or_pipe_is_refused(folder: Path):
    (folder / "sub").mkdir()
    with pytest.raises(MalformedBundle, match="sub: expected a regular file"):
        read_archive(folder)
    (folder / "sub").rmdir()
    os.mkfifo(folder / "pipe")
    with pytest.raises(MalformedBundle, match="pipe: expected a regular file"):
        read_archive(folder)


def test_a_folder_with_a_strange_name_is_refused(folder: Path):
    (folder / ".DS_Store").write_bytes(b"x")
    with pytest.raises(MalformedBundle, match="DS_Store"):
        read_archive(folder)


def test_a_folder_above_the_limits_is_refused(folder: Path):
    (folder / "b.bin").write_bytes(b"x" * 10)
    with pytest.raises(MalformedBundle, match="at most 9 bytes"):
        read_archive(folder, ArchiveLimits(max_entry_bytes=9))
    with pytest.raises(MalformedBundle, match="at most 19 bytes in all"):
        read_archive(folder, ArchiveLimits(max_total_bytes=19))
    with pytest.raises(MalformedBundle, match="at most 1 files"):
        read_archive(folder, ArchiveLimits(max_entries=1))


def test_a_path_that_is_neither_file_nor_folder_is_refused(tmp_path: Path):
    with pytest.raises(MalformedBundle, match="No such file"):
        read_archive(tmp_path / "absent.onsight")
    os.mkfifo(tmp_path / "pipe.onsight")
    with pytest.raises(MalformedBundle, match="expected a regular file"):
        read_archive(tmp_path / "pipe.onsight")
