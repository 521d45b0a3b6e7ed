"""A pack of backbones is read as if an attacker had made it: all that it lists and nothing else, or nothing at all."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from trainer.backbone_pack import SUMS, add_pack, write_pack
from trainer.backbone_store import BackboneStore, StoredBackbone
from trainer.errors import BackboneError

pytestmark = pytest.mark.slow


def silent(_what: str, _done: int, _total: int) -> None:
    pass


@pytest.fixture(scope="module")
def packed(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A good pack of the backbone `one`."""
    root = tmp_path_factory.mktemp("packed")
    store = BackboneStore(root / "store")
    store.add_folder(backbone, "one")
    write_pack(store, ["one"], root / "pack.tar", silent)
    return (root / "pack.tar").read_bytes()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Where the store lies; whatever a test adds, nothing may appear beside the store and the pack."""
    (tmp_path / "deep").mkdir()
    yield tmp_path / "deep"
    assert {path.name for path in tmp_path.iterdir()} == {"deep"}
    assert {path.name for path in (tmp_path / "deep").iterdir()} <= {"store", "pack.tar", "again.tar"}


def add(place: Path, data: bytes, name: str | None = None) -> list[StoredBackbone]:
    (place / "pack.tar").write_bytes(data)
    return add_pack(BackboneStore(place / "store"), place / "pack.tar", name, silent)


def refused(place: Path, data: bytes) -> str:
    with pytest.raises(BackboneError) as caught:
        add(place, data)
    assert list((place / "store").iterdir()) == []  # no half, and no hidden folder
    return str(caught.value)


Entry = tuple[tarfile.TarInfo, bytes]


def entries(data: bytes) -> dict[str, Entry]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {entry.name: (entry, archive.extractfile(entry).read()) for entry in archive}  # type: ignore[union-attr]


def build(parts: list[Entry], format: int = tarfile.USTAR_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for header, content in parts:
            header.size = len(content) if header.isreg() else 0
            archive.addfile(header, io.BytesIO(content))
    return out.getvalue()


def signed(contents: dict[str, bytes]) -> bytes:
    """A pack whose digests are right, whatever its names."""
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in contents.items()).encode()
    return build([(tarfile.TarInfo(name), data) for name, data in {SUMS: sums, **contents}.items()])


def contents(data: bytes) -> dict[str, bytes]:
    return {name: content for name, (_, content) in entries(data).items() if name != SUMS}


def test_a_pack_gives_back_what_went_into_it(place: Path, packed: bytes, backbone: Path) -> None:
    (added,) = add(place, packed)
    assert (added.name, added.family) == ("one", "resnet")
    for path in added.folder.iterdir():
        assert path.read_bytes() == (backbone / path.name).read_bytes()
    write_pack(BackboneStore(place / "store"), ["one", "one"], place / "again.tar", silent)
    assert (place / "again.tar").read_bytes() == packed
    with pytest.raises(BackboneError, match="expected a name that is free"):
        add(place, packed)
    assert add(place, packed, "two")[0].sha256 == added.sha256


def test_other_tools_read_a_pack_and_what_they_write_is_read(place: Path, packed: bytes) -> None:
    assert sorted(entries(packed)) == sorted([SUMS, *contents(packed)])
    assert add(place, build(list(entries(packed).values())))[0].name == "one"


KINDS = {
    "symbolic link": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE, "folder": tarfile.DIRTYPE,
    "pipe": tarfile.FIFOTYPE, "device": tarfile.CHRTYPE, "sparse file": tarfile.GNUTYPE_SPARSE,
    "contiguous file": tarfile.CONTTYPE,
}  # fmt: skip


@pytest.mark.parametrize("kind", list(KINDS))
def test_what_is_no_plain_file_is_refused(kind: str, place: Path, packed: bytes) -> None:
    parts = entries(packed)
    header = tarfile.TarInfo("one/config.json")
    header.type, header.linkname = KINDS[kind], "/etc/passwd" if "link" in kind else ""
    for name in ("one/config.json", "one/LICENSE"):  # in the place of a listed file, and beside them
        header.name = name
        listed = [part for entry, part in parts.items() if entry != name]
        assert "expected plain files alone" in refused(place, build([*listed, (header, b"")]))


@pytest.mark.parametrize(
    "name",
    [
        "../config.json", "one/../../config.json", "/one/config.json", "one/../config.json", "./one/config.json",
        "one//config.json", "one/deep/config.json", "config.json", "one/config.json/", ".one/config.json",
        "one/.hidden", "one/pytorch_model.bin", "one/modeling.py", "one/con fig.json", "one/SHA256SUMS",
        "one\\..\\config.json", "..",
    ],
)  # fmt: skip
def test_names_that_are_no_part_of_a_backbone_are_refused(name: str, place: Path, packed: bytes) -> None:
    """With right digests: the name alone decides."""
    refused(place, signed({**contents(packed), name: b"{}"}))
    extra = tarfile.TarInfo(name)
    refused(place, build([*entries(packed).values(), (extra, b"{}")]))


def test_long_names_of_extended_headers_are_refused(place: Path, packed: bytes) -> None:
    extra = (tarfile.TarInfo("one/" + "x" * 300), b"{}")
    for format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        assert "extended header" in refused(place, build([*entries(packed).values(), extra], format))


def missing(parts: dict[str, Entry]) -> list[Entry]:
    return [part for name, part in parts.items() if name != "one/config.json"]


def twice(parts: dict[str, Entry]) -> list[Entry]:
    return [*parts.values(), parts["one/config.json"]]


def renamed(parts: dict[str, Entry]) -> list[Entry]:
    return [*missing(parts), (tarfile.TarInfo("one/README.md"), parts["one/config.json"][1])]


def changed(parts: dict[str, Entry]) -> list[Entry]:
    return [*missing(parts), (tarfile.TarInfo("one/config.json"), parts["one/config.json"][1] + b" ")]


def sums_last(parts: dict[str, Entry]) -> list[Entry]:
    return list(parts.values())[::-1]


def sums_alone(parts: dict[str, Entry]) -> list[Entry]:
    return [parts[SUMS]]


def line_twice(parts: dict[str, Entry]) -> list[Entry]:
    header, sums = parts[SUMS]
    return [(header, sums + sums), *missing(parts), parts["one/config.json"]]


def sums_too_long(parts: dict[str, Entry]) -> list[Entry]:
    return [(parts[SUMS][0], b"\n" * (1 << 21)), *missing(parts)]


@pytest.mark.parametrize("change", [missing, twice, renamed, changed, sums_last, sums_alone, line_twice, sums_too_long])
def test_a_pack_that_does_not_hold_what_it_lists_is_refused(
    change: Callable[[dict[str, Entry]], list[Entry]], place: Path, packed: bytes
) -> None:
    refused(place, build(change(entries(packed))))


def test_one_backbone_that_does_not_work_keeps_the_others_out(place: Path, packed: bytes) -> None:
    good = contents(packed)
    broken = {name.replace("one/", "two/"): data for name, data in good.items()}
    broken["two/model.safetensors"] = broken["two/model.safetensors"][:-100]
    assert "two: not added" in refused(place, signed({**good, **broken}))


def test_sizes_beyond_the_file_are_refused_before_anything_is_reserved_for_them(place: Path, packed: bytes) -> None:
    for size in (len(packed), 1 << 32, 1 << 62, -1):
        header = tarfile.TarInfo(SUMS)
        header.size = size
        block = header.tobuf(tarfile.GNU_FORMAT)  # the format that can tell such sizes
        assert "a pack that ends before it" in refused(place, block + packed[tarfile.BLOCKSIZE :])


def test_a_pack_that_is_cut_or_compressed_or_something_else_is_refused(place: Path, packed: bytes) -> None:
    import gzip

    end = len(packed) - 2 * tarfile.BLOCKSIZE
    for length in {*range(0, end, 1999), 1, tarfile.BLOCKSIZE, tarfile.BLOCKSIZE + 1}:
        refused(place, packed[:length])
    for other in (gzip.compress(packed), b"PK\x03\x04" + packed, b"\0" * 4096, np.random.default_rng(1).bytes(5000)):
        refused(place, other)


def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing(place: Path, packed: bytes) -> None:
    random = np.random.default_rng(4)
    store, added = place / "store", 0
    for position in random.integers(0, len(packed), 400).tolist():
        flipped = bytearray(packed)
        flipped[position] ^= 1 << int(random.integers(8))
        try:
            (found,) = add(place, bytes(flipped))
        except BackboneError:
            continue
        added += 1  # a byte between the files
        for name, data in contents(packed).items():
            assert (found.folder / Path(name).name).read_bytes() == data
        shutil.rmtree(store)
    assert added < 80


def test_what_a_pack_cannot_hold_is_refused_before_a_byte_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "store" / "huge"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    for count, size, match in ((1, 8 * 2**30, "huge/w0.safetensors: expected less than 8 GiB, .* found 8.00 GiB"),
                               (9, 8 * 2**30 - 1, "expected at most 256 files .* found 10 of 72.0 GiB"),
                               (256, 1, "found 257 of 0.0 GiB. Make several packs")):  # fmt: skip
        for number in range(count):
            with (folder / f"w{number}.safetensors").open("wb") as file:
                file.truncate(size)  # a hole: it takes no room
        with pytest.raises(BackboneError, match=match):
            write_pack(BackboneStore(tmp_path / "store"), ["huge"], tmp_path / "pack.tar", silent)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
