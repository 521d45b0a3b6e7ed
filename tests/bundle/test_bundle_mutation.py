"""Protected: every change to a signed bundle is refused, whichever file and whichever byte it hits."""

from __future__ import annotations

import json
import os
import random
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from bundle.archive import read_archive, write_archive
from bundle.errors import (
    BundleError,
    DigestMismatch,
    MalformedBundle,
    OnsightError,
    SignatureMismatch,
    UnlistedFile,
    UntrustedKey,
)
from bundle.keys import SigningKey
from bundle.load import load_bundle, unpack_bundle
from bundle.signature import MAX_SIGNATURE_FILE_BYTES, parse_signature, sign_manifest, verify_manifest

Rewrite = Callable[[dict[str, bytes]], Path]


@pytest.fixture
def rewrite(tmp_path: Path) -> Rewrite:
    """Write entries as a well-formed archive, so that only what is inside can be the reason for a refusal."""

    def write(entries: dict[str, bytes]) -> Path:
        path = tmp_path / "mutated.onsight"
        write_archive(path, entries)
        return path

    return write


def flipped(data: bytes, at: int, bit: int = 0) -> bytes:
    return data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]


def test_every_byte_of_the_manifest_is_covered_by_the_signature(signed_bundle):
    entries = read_archive(signed_bundle.path)
    manifest, signature = entries["manifest.json"], entries["manifest.sig"]
    assert verify_manifest(manifest, signature, signed_bundle.trust)
    public_key = signed_bundle.key.public_key
    raw = parse_signature(signature).signature
    for at in range(len(manifest)):
        with pytest.raises(SignatureMismatch):
            public_key.verify(b"onsight/bundle/v1\n" + flipped(manifest, at, at % 8), raw)


def test_a_longer_shorter_or_reformatted_manifest_is_refused(signed_bundle, rewrite: Rewrite):
    entries = read_archive(signed_bundle.path)
    manifest = entries["manifest.json"]
    compact = json.dumps(json.loads(manifest)).encode()
    for changed in (manifest + b"\n", manifest[:-1], compact, b"", b"{}"):
        with pytest.raises(SignatureMismatch):
            load_bundle(rewrite({**entries, "manifest.json": changed}), signed_bundle.trust)


@pytest.mark.parametrize("name", ["model.onnx", "golden.npz", "card.md"])
def test_a_file_that_is_dropped_renamed_cut_or_grown_is_refused(signed_bundle, rewrite: Rewrite, name: str):
    entries = read_archive(signed_bundle.path)
    others = {key: data for key, data in entries.items() if key != name}
    with pytest.raises(UnlistedFile, match=name):
        load_bundle(rewrite(others), signed_bundle.trust)
    with pytest.raises(UnlistedFile, match=r"other\.bin"):
        load_bundle(rewrite({**others, "other.bin": entries[name]}), signed_bundle.trust)
    for changed in (entries[name][:-1], entries[name] + b"\0", b""):
        with pytest.raises(DigestMismatch, match=name):
            load_bundle(rewrite({**others, name: changed}), signed_bundle.trust)


def test_an_added_file_is_refused(signed_bundle, rewrite: Rewrite):
    entries = read_archive(signed_bundle.path)
    with pytest.raises(UnlistedFile, match=r"plugin\.py"):
        load_bundle(rewrite({**entries, "plugin.py": b"print('hello')"}), signed_bundle.trust)


def test_two_files_that_swap_their_contents_are_refused(signed_bundle, rewrite: Rewrite):
    entries = read_archive(signed_bundle.path)
    swapped = {**entries, "model.onnx": entries["golden.npz"], "golden.npz": entries["model.onnx"]}
    with pytest.raises(DigestMismatch):
        load_bundle(rewrite(swapped), signed_bundle.trust)


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sig"])
def test_a_bundle_without_manifest_or_signature_is_refused(signed_bundle, rewrite: Rewrite, name: str):
    entries = {key: data for key, data in read_archive(signed_bundle.path).items() if key != name}
    with pytest.raises(MalformedBundle, match=name):
        load_bundle(rewrite(entries), signed_bundle.trust)


def test_every_flipped_byte_of_the_signature_file_is_refused(signed_bundle):
    entries = read_archive(signed_bundle.path)
    signature = entries["manifest.sig"]
    harmless = {at for at, byte in enumerate(signature) if byte in b" \n"}  # JSON's own white space
    for at in range(len(signature)):
        changed = flipped(signature, at, 0)
        if at in harmless:
            continue
        with pytest.raises((MalformedBundle, UntrustedKey, SignatureMismatch)):
            verify_manifest(entries["manifest.json"], changed, signed_bundle.trust)


def test_a_signature_by_an_untrusted_key_under_a_trusted_key_id_is_refused(signed_bundle, rewrite: Rewrite):
    entries = read_archive(signed_bundle.path)
    forged = json.loads(sign_manifest(entries["manifest.json"], SigningKey.generate()))
    forged["key_id"] = signed_bundle.key.public_key.key_id
    with pytest.raises(SignatureMismatch):
        load_bundle(rewrite({**entries, "manifest.sig": json.dumps(forged).encode()}), signed_bundle.trust)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: b"",
        lambda text: b"[]",
        lambda text: b"null",
        lambda text: b'[["v", 1], ["key_id", "0123456789abcdef"], ["signature", "AA=="]]',
        lambda text: text + b" " * MAX_SIGNATURE_FILE_BYTES,
        lambda text: text.replace(b'"v": 1', b'"v": 2'),
        lambda text: text.replace(b'"v": 1', b'"v": true'),
        lambda text: text.replace(b'"v": 1', b'"v": 1.0'),
        lambda text: text.replace(b'"v": 1', b'"v": 1, "v": 1'),
        lambda text: text.replace(b'"v": 1', b'"v": 1, "alg": "none"'),
        lambda text: text.replace(b"==", b""),
        lambda text: text.replace(b"==", b"==AA"),
        lambda text: text.replace(b'"key_id": "', b'"key_id": "../'),
        lambda text: text.replace(b'"key_id": "', b'"key_id": "\xc3\xa9'),
        lambda text: b"[" * 4000,
    ],
)
def test_a_signature_file_of_another_form_is_refused(signed_bundle, change: Callable[[bytes], bytes]):
    with pytest.raises(MalformedBundle, match=r"manifest\.sig"):
        parse_signature(change(read_archive(signed_bundle.path)["manifest.sig"]))


def test_random_changes_to_the_archive_never_load_as_something_else(signed_bundle, tmp_path: Path):
    """Bytes that the archive does not care about (times, versions) may change; what is loaded may not."""
    original = signed_bundle.path.read_bytes()
    path = tmp_path / "flipped.onsight"
    draw = random.Random(11)
    refused = 0
    for _ in range(400):
        at = draw.randrange(len(original))
        path.write_bytes(flipped(original, at, draw.randrange(8)))
        try:
            bundle = load_bundle(path, signed_bundle.trust)
        except OnsightError:
            refused += 1
        else:
            assert bundle.manifest == signed_bundle.manifest
            assert dict(bundle.files) == signed_bundle.files
    assert refused > 350


def test_an_archive_cut_at_any_place_is_refused(signed_bundle, tmp_path: Path):
    original = signed_bundle.path.read_bytes()
    path = tmp_path / "cut.onsight"
    draw = random.Random(13)
    for end in [0, 1, 21, 22, len(original) - 1, *(draw.randrange(len(original)) for _ in range(50))]:
        path.write_bytes(original[:end])
        with pytest.raises(MalformedBundle):
            load_bundle(path, signed_bundle.trust)


def test_a_changed_file_in_an_unpacked_folder_is_refused(signed_bundle, tmp_path: Path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, data in read_archive(signed_bundle.path).items():
        (folder / name).write_bytes(data)
    assert load_bundle(folder, signed_bundle.trust)
    for name in signed_bundle.files:
        copy = tmp_path / f"copy-{name}"
        shutil.copytree(folder, copy)
        (copy / name).write_bytes(flipped(signed_bundle.files[name], 0))
        with pytest.raises(BundleError, match=name):
            load_bundle(copy, signed_bundle.trust)


def test_a_file_of_another_size_is_refused_before_it_is_in_memory(signed_bundle, tmp_path: Path):
    folder = tmp_path / "unpacked"
    unpack_bundle(signed_bundle.path, folder, signed_bundle.trust)
    os.truncate(folder / "model.onnx", 200 * 1024**2)  # sparse
    tracemalloc.start()
    try:
        with pytest.raises(DigestMismatch, match="manifest says"):
            load_bundle(folder, signed_bundle.trust)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 50 * 1024**2
