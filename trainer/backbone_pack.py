"""Packs of backbones: one file that carries them to a host without a network.

A pack is an uncompressed tar: SHA256SUMS first, then NAME/FILE of every backbone in name order, all with the same
owner, mode and time, so that equal backbones give equal bytes. Reading takes the headers one by one and copies contents
by itself: plain files with the names of a backbone's parts and nothing else, each held against its digest while it is
written into a hidden folder of the store. Never lets a library unpack, never follows a link.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NoReturn

from bundle.files import atomic_file
from trainer.backbone_store import (
    CHUNK_BYTES,
    MAX_FILES,
    NAME,
    WANTED,
    BackboneStore,
    Progress,
    StoredBackbone,
    check_name,
    wanted_files,
)
from trainer.errors import BackboneError

SUMS: Final = "SHA256SUMS"
MAX_SUMS_BYTES: Final = 1 << 20
MAX_TOTAL_BYTES: Final = 64 * 1024**3
MAX_FILE_BYTES: Final = 8 * 1024**3 - 1  # eleven octal digits in a tar's header
_BLOCK: Final = tarfile.BLOCKSIZE
_LINE: Final = re.compile(r"([0-9a-f]{64})  ([^/\s]{1,100}/[^/\s]{1,200})")


def write_pack(store: BackboneStore, names: Sequence[str], out: Path, progress: Progress) -> None:
    """Write backbones of the store to `out`, whole or not at all.

    Raises BackboneError for an unknown name, and for what no pack holds.
    """
    files = [(f"{name}/{path.name}", path) for name in sorted(set(names)) for path in wanted_files(store.find(name))]
    _check_room(files)
    total, done = 2 * sum(path.stat().st_size for _, path in files), 0

    def read(path: Path, use: Callable[[bytes], object]) -> None:
        nonlocal done
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                use(chunk)
                done += len(chunk)
                progress("packing", done, max(total, done))

    lines = []
    for entry, path in files:
        digest = hashlib.sha256()
        read(path, digest.update)
        lines.append(f"{digest.hexdigest()}  {entry}\n")
    sums = "".join(lines).encode()
    with atomic_file(out) as file:
        file.write(_header(SUMS, len(sums)) + sums + _padding(len(sums)))
        for entry, path in files:
            size = path.stat().st_size
            file.write(_header(entry, size))
            read(path, file.write)
            file.write(_padding(size))
        file.write(bytes(2 * _BLOCK))


def _check_room(files: Sequence[tuple[str, Path]]) -> None:
    """Refuse what could be written and not be read again. files: entry's name and the file on the disk."""
    for entry, path in files:
        if (size := path.stat().st_size) > MAX_FILE_BYTES:
            raise BackboneError(
                f"{entry}: expected less than 8 GiB, the most that a pack's header can say of a file, found"
                f" {size / 2**30:.2f} GiB. Save the model in smaller files (`save_pretrained` with max_shard_size), or"
                " carry its folder itself, and `onsight backbones add` it there."
            )
    size = sum(path.stat().st_size for _, path in files)
    if len(files) > MAX_FILES or size > MAX_TOTAL_BYTES - len(files) * 2 * _BLOCK - MAX_SUMS_BYTES:
        raise BackboneError(
            f"pack: expected at most {MAX_FILES} files of less than {MAX_TOTAL_BYTES // 2**30} GiB together, found"
            f" {len(files)} of {size / 2**30:.1f} GiB. Make several packs."
        )


def add_pack(store: BackboneStore, path: Path, name: str | None, progress: Progress) -> list[StoredBackbone]:
    """Add every backbone of a pack, or none where anything in the pack is not as it should be.

    name: what to call it here, where the pack holds one.  Raises BackboneError.
    """
    with store.staging() as staging, path.open("rb") as file:
        names = _copy_entries(file, path, staging, progress)
        if name is not None:
            if len(names) != 1:
                raise BackboneError(f"--name: expected a pack of one backbone, found {len(names)}. Leave it out.")
            names = [(staging / names[0]).rename(staging / check_name(name)).name]
        for each in names:
            store.check_free(each)
            store.prove(staging / each)
        return [store.take(staging / each) for each in names]


def _copy_entries(file: BinaryIO, path: Path, staging: Path, progress: Progress) -> list[str]:
    """Copy the pack's files to staging/NAME/FILE and return the names, sorted."""
    sums: dict[str, str] | None = None
    missing: set[str] = set()
    total = path.stat().st_size
    for entry in _entries(file, path, total):
        if sums is None:
            sums = _read_sums(entry, file, path)
            missing = set(sums)
            continue
        if entry.name not in missing:  # also what comes twice
            _refuse(path, f"the files that its {SUMS} lists, each once", repr(entry.name[:200]))
        missing.remove(entry.name)
        target = staging / entry.name
        target.parent.mkdir(exist_ok=True)
        digest, left = hashlib.sha256(), entry.size
        with target.open("xb") as writer:
            while chunk := file.read(min(CHUNK_BYTES, left)):
                digest.update(chunk)
                left -= writer.write(chunk)
                progress("reading", file.tell(), total + 1)
        if digest.hexdigest() != sums[entry.name]:
            _refuse(path, f"the content of {entry.name} that its {SUMS} tells of", "other content")
    if not sums or missing:
        _refuse(path, "every file that it lists", f"none of {min(missing)}" if missing else "an empty pack")
    progress("reading", total, total)
    return sorted({entry.partition("/")[0] for entry in sums})


def _entries(file: BinaryIO, path: Path, total: int) -> Iterator[tarfile.TarInfo]:
    """Headers one by one, each with `file` at the start of its content and that content inside the file."""
    while (block := file.read(_BLOCK)).strip(b"\0"):
        try:
            entry = tarfile.TarInfo.frombuf(block, "ascii", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError):
            _refuse(path, "a pack of `onsight backbones pack`", "something else")
        if entry.type != tarfile.REGTYPE or entry.linkname:
            _refuse(path, "plain files alone", f"{entry.name[:200]!r}: a link, folder, device or extended header")
        start = file.tell()
        if not 0 <= entry.size <= min(total, MAX_TOTAL_BYTES) - start:
            _refuse(path, f"{entry.name[:200]!r} whole", "a pack that ends before it")
        yield entry
        file.seek(start + entry.size + len(_padding(entry.size)))


def _read_sums(entry: tarfile.TarInfo, file: BinaryIO, path: Path) -> dict[str, str]:
    if entry.name != SUMS or entry.size > MAX_SUMS_BYTES:
        _refuse(path, f"{SUMS} of at most {MAX_SUMS_BYTES:,} bytes as its first file", f"{entry.name[:200]!r}")
    sums: dict[str, str] = {}
    for line in file.read(entry.size).decode("ascii", "replace").splitlines():
        match = _LINE.fullmatch(line)
        folder, _, name = match[2].partition("/") if match else ("", "", "")
        if match is None or not NAME.fullmatch(folder) or not WANTED.fullmatch(name) or match[2] in sums:
            _refuse(path, f"a digest and NAME/FILE of a backbone on every line of {SUMS}, each once", repr(line[:200]))
        sums[match[2]] = match[1]
    if len(sums) > MAX_FILES:
        _refuse(path, f"at most {MAX_FILES} files", f"{len(sums)}")
    return sums


def _header(name: str, size: int) -> bytes:
    header = tarfile.TarInfo(name)  # mode 644, root, the year 1970
    header.size = size
    return header.tobuf(tarfile.USTAR_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)


def _refuse(path: Path, expected: str, found: str) -> NoReturn:
    raise BackboneError(f"{path.name}: expected {expected}, found {found}. Nothing was added; copy the pack again.")
