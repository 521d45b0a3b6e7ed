"""Protected in full: every byte of a manifest flipped, ten thousand flips of the other files, and every kind of entry
that does not belong; each refused, and nothing written anywhere.

Each flip is made within a sound archive (its checksums fit), so that only the signature or a digest can refuse it.
"""

from __future__ import annotations

import io
import os
import random
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SignedBundle

from bundle.archive import ArchiveLimits, read_archive
from bundle.errors import BundleError, DigestMismatch, MalformedBundle, SignatureMismatch, UnlistedFile
from bundle.load import load_bundle, unpack_bundle

PAYLOAD_FLIPS = int(os.environ.get("ONSIGHT_TEST_FLIPS", "2000"))
Entries = list[tuple[str | zipfile.ZipInfo, bytes]]


def plain_zip(entries: Entries) -> bytes:
    """Sound checksums and sizes, whatever is in it. Faster than `write_archive`, which waits for the disk."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return out.getvalue()


def flipped(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]


def test_every_flipped_byte_of_the_manifest_is_refused_by_the_loader(
    signed_bundle: SignedBundle, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    entries = read_archive(signed_bundle.path)
    manifest, path = entries["manifest.json"], tmp_path / "flipped.onsight"
    for at in range(len(manifest)):
        changed = {**entries, "manifest.json": flipped(manifest, at, at % 8)}
        path.write_bytes(plain_zip(list(changed.items())))
        with pytest.raises(SignatureMismatch):
            load_bundle(path, signed_bundle.trust)
    record_property("figure", f"{len(manifest):,} of {len(manifest):,} refused")


def test_random_flips_of_the_other_files_are_refused_in_archives_and_in_folders(
    signed_bundle: SignedBundle, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    entries = read_archive(signed_bundle.path)
    folder, path = tmp_path / "folder", tmp_path / "flipped.onsight"
    unpack_bundle(signed_bundle.path, folder, signed_bundle.trust)
    places = [(name, at) for name in signed_bundle.files for at in range(len(entries[name]))]
    draw = random.Random(17)
    for number in range(PAYLOAD_FLIPS):
        name, at = draw.choice(places)  # every byte as likely as any other
        data = flipped(entries[name], at, draw.randrange(8))
        if number % 2:
            (folder / name).write_bytes(data)
            with pytest.raises(DigestMismatch, match=name):
                load_bundle(folder, signed_bundle.trust)
            (folder / name).write_bytes(entries[name])
        else:
            path.write_bytes(plain_zip(list({**entries, name: data}.items())))
            with pytest.raises(DigestMismatch, match=name):
                load_bundle(path, signed_bundle.trust)
    assert dict(load_bundle(folder, signed_bundle.trust).files) == signed_bundle.files
    record_property("figure", f"{PAYLOAD_FLIPS:,} of {PAYLOAD_FLIPS:,} refused")


# ---- entries that do not belong


def special(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info


LINK = stat.S_IFLNK | 0o777
SECRET = "../secret.txt"

# attack -> from the bundle's entries, those of the attacker's archive; and what refuses it
Attack = Callable[[dict[str, bytes]], Entries]
ZIP_ATTACKS: dict[str, tuple[Attack, type[BundleError]]] = {
    "an extra file": (lambda own: [*own.items(), ("more.bin", b"x")], UnlistedFile),
    "an extra file before": (lambda own: [("more.bin", b"x"), *own.items()], UnlistedFile),
    "a missing file": (lambda own: [each for each in own.items() if each[0] != "card.md"], UnlistedFile),
    "a renamed file": (
        lambda own: [("model2.onnx" if name == "model.onnx" else name, data) for name, data in own.items()],
        UnlistedFile,
    ),
    "a file in another case": (
        lambda own: [("Model.onnx" if name == "model.onnx" else name, data) for name, data in own.items()],
        UnlistedFile,
    ),
    "a second file in another case": (lambda own: [*own.items(), ("MODEL.onnx", b"x")], MalformedBundle),
    "a link in a file's place": (
        lambda own: [
            (special(name, LINK), SECRET.encode()) if name == "card.md" else (name, data) for name, data in own.items()
        ],
        MalformedBundle,
    ),
    "an extra link": (lambda own: [*own.items(), (special("link", LINK), SECRET.encode())], MalformedBundle),
    "a link, and a file through it": (
        lambda own: [*own.items(), (special("link", LINK), b".."), ("link/evil.sh", b"x")],
        MalformedBundle,
    ),
    "a device": (lambda own: [*own.items(), (special("device", stat.S_IFCHR | 0o666), b"")], MalformedBundle),
    "a named pipe": (lambda own: [*own.items(), (special("pipe", stat.S_IFIFO | 0o666), b"")], MalformedBundle),
    "a folder": (lambda own: [*own.items(), (special("folder/", stat.S_IFDIR | 0o755), b"")], MalformedBundle),
    "a climbing name": (lambda own: [*own.items(), ("../evil.sh", b"x")], MalformedBundle),
    "a climbing name with backslashes": (
        lambda own: [*own.items(), ("..\\evil.sh", b"x")],
        MalformedBundle,
    ),
    "an absolute name": (lambda own: [*own.items(), ("/tmp/onsight-evil.sh", b"x")], MalformedBundle),
    "a larger file": (lambda own: list({**own, "card.md": own["card.md"] + b"x" * 100_000}.items()), DigestMismatch),
    "an emptied file": (lambda own: list({**own, "card.md": b""}.items()), DigestMismatch),
    "more files than the limit": (
        lambda own: [*own.items(), *((f"f{number}", b"") for number in range(64))],
        MalformedBundle,
    ),
    "a file above the limit": (lambda own: [*own.items(), ("big.bin", bytes(2_000_001))], MalformedBundle),
}
LIMITS = ArchiveLimits(max_entry_bytes=2_000_000, max_total_bytes=4_000_000)
FOLDER_ATTACKS: dict[str, tuple[Callable[[Path], object], type[BundleError]]] = {
    "an extra file": (lambda folder: (folder / "more.bin").write_bytes(b"x"), UnlistedFile),
    "a missing file": (lambda folder: (folder / "card.md").unlink(), UnlistedFile),
    "a renamed file": (lambda folder: (folder / "card.md").rename(folder / "card2.md"), UnlistedFile),
    "a second file in another case": (lambda folder: (folder / "CARD.md").write_bytes(b"x"), MalformedBundle),
    "a symbolic link in a file's place": (
        lambda folder: ((folder / "card.md").unlink(), (folder / "card.md").symlink_to(folder / "../secret.txt")),
        MalformedBundle,
    ),
    "a symbolic link to the very content": (
        lambda folder: ((folder / "card.md").rename(folder / "../moved"), (folder / "card.md").symlink_to("../moved")),
        MalformedBundle,
    ),
    "an extra symbolic link": (lambda folder: (folder / "link").symlink_to("../secret.txt"), MalformedBundle),
    "a hard link in a file's place": (
        lambda folder: ((folder / "card.md").unlink(), (folder / "card.md").hardlink_to(folder / "../secret.txt")),
        DigestMismatch,
    ),
    "an extra hard link": (lambda folder: (folder / "link").hardlink_to(folder / "../secret.txt"), UnlistedFile),
    "a folder": (lambda folder: (folder / "sub").mkdir(), MalformedBundle),
    "a named pipe": (lambda folder: os.mkfifo(folder / "pipe"), MalformedBundle),
    "a larger file": (lambda folder: os.truncate(folder / "card.md", 100_000), DigestMismatch),
    "a file above the limit": (lambda folder: os.truncate(folder / "card.md", 2_000_001), MalformedBundle),
    "more files than the limit": (
        lambda folder: [(folder / f"f{number}").touch() for number in range(64)],
        MalformedBundle,
    ),
}


@pytest.fixture
def canaries(tmp_path: Path) -> Path:
    """A folder that holds another user's things, and a place to unpack to in their midst."""
    around = tmp_path / "around"
    (around / "elsewhere").mkdir(parents=True)
    (around / "secret.txt").write_text("secret")
    (around / "evil.sh").write_text("not evil")
    (around / "elsewhere" / "canary").write_text("alive")
    return around


def snapshot(folder: Path) -> dict[str, object]:
    """Every name below it, with kind, permissions and content."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        content = str(path.readlink()) if stat.S_ISLNK(mode) else path.read_bytes() if stat.S_ISREG(mode) else b""
        found[str(path.relative_to(folder))] = (mode, content)
    return found


def refused_without_a_trace(path: Path, bundle: SignedBundle, around: Path, error: type[BundleError]) -> None:
    before = snapshot(around)
    with pytest.raises(error):
        load_bundle(path, bundle.trust, LIMITS)
    with pytest.raises(error):
        unpack_bundle(path, around / "target", bundle.trust, LIMITS)
    assert snapshot(around) == before
    assert not Path("/tmp/onsight-evil.sh").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize("name", ZIP_ATTACKS)
def test_an_archive_with_an_entry_that_does_not_belong_leaves_no_trace(
    signed_bundle: SignedBundle, canaries: Path, name: str
) -> None:
    attack, error = ZIP_ATTACKS[name]
    path = canaries / "attack.onsight"
    path.write_bytes(plain_zip(attack(read_archive(signed_bundle.path))))
    refused_without_a_trace(path, signed_bundle, canaries, error)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize("name", ["manifest.json", "manifest.sig", "model.onnx", "golden.npz", "card.md"])
@pytest.mark.parametrize("other_first", [False, True])
def test_no_file_may_be_there_twice(signed_bundle: SignedBundle, canaries: Path, name: str, other_first: bool) -> None:
    own = list(read_archive(signed_bundle.path).items())
    other = (name, b"what another reader would take")
    path = canaries / "attack.onsight"
    path.write_bytes(plain_zip([other, *own] if other_first else [*own, other]))
    refused_without_a_trace(path, signed_bundle, canaries, MalformedBundle)


@pytest.mark.parametrize("name", FOLDER_ATTACKS)
def test_a_folder_with_a_file_that_does_not_belong_leaves_no_trace(
    signed_bundle: SignedBundle, canaries: Path, name: str
) -> None:
    attack, error = FOLDER_ATTACKS[name]
    folder = canaries / "attack"
    unpack_bundle(signed_bundle.path, folder, signed_bundle.trust)
    attack(folder)
    refused_without_a_trace(folder, signed_bundle, canaries, error)


def test_the_bundle_that_attacks_are_made_from_unpacks(signed_bundle: SignedBundle, canaries: Path) -> None:
    """Otherwise the attacks above could be refused for a reason of their builder's own."""
    path = canaries / "good.onsight"
    path.write_bytes(plain_zip(list(read_archive(signed_bundle.path).items())))
    before = snapshot(canaries)
    unpack_bundle(path, canaries / "target", signed_bundle.trust, LIMITS)
    after = snapshot(canaries)
    assert {name for name in after if name not in before} == {
        "target", *(f"target/{name}" for name in (*signed_bundle.files, "manifest.json", "manifest.sig")),
    }  # fmt: skip
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize("taken_by", ["folder", "file", "link", "dangling link"])
def test_nothing_is_unpacked_over_or_through_what_is_there(
    signed_bundle: SignedBundle, canaries: Path, taken_by: str
) -> None:
    target = canaries / "target"
    make: dict[str, Callable[[], object]] = {
        "folder": target.mkdir,
        "file": target.touch,
        "link": lambda: target.symlink_to("elsewhere"),
        "dangling link": lambda: target.symlink_to("nowhere"),
    }
    make[taken_by]()
    before = snapshot(canaries)
    with pytest.raises(MalformedBundle, match="expected to make this folder"):
        unpack_bundle(signed_bundle.path, target, signed_bundle.trust)
    assert snapshot(canaries) == before
