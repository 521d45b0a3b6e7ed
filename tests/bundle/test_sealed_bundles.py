"""A bundle sealed for one install: who opens it, what is refused, and that nothing plain is ever written."""

from __future__ import annotations

import io
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from conftest import MODEL, SignedBundle
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from bundle import sealed
from bundle.archive import ArchiveLimits, open_archive, write_archive
from bundle.errors import BundleError, MalformedBundle, WrongRecipient
from bundle.load import load_bundle, read_manifest, unpack_bundle
from bundle.pack import pack_bundle
from bundle.sealed import MAGIC, MAX_HEADER_BYTES, Recipient, SealedReader, write_sealed

HERE, ELSEWHERE = X25519PrivateKey.generate(), X25519PrivateKey.generate()


def recipient(key: X25519PrivateKey, install: str = "") -> Recipient:
    return Recipient(key.public_key().public_bytes_raw(), install)


@pytest.fixture
def sealed_path(signed_bundle: SignedBundle, tmp_path: Path) -> Path:
    path = tmp_path / "sealed.onsight"
    made = signed_bundle
    pack_bundle(path, made.manifest, made.files, made.key, [recipient(HERE, "office-7")])
    return path


def test_its_recipient_reads_the_same_bundle_and_nobody_reads_it_off_the_file(
    signed_bundle: SignedBundle, sealed_path: Path
) -> None:
    plain = load_bundle(signed_bundle.path, signed_bundle.trust)
    opened = load_bundle(sealed_path, signed_bundle.trust, opener=lambda: HERE)
    assert (opened.manifest, opened.files) == (plain.manifest, plain.files)
    assert opened.manifest_sha256 == plain.manifest_sha256
    assert (plain.sealed, opened.sealed) == (False, True)
    assert read_manifest(sealed_path, signed_bundle.trust, opener=lambda: HERE).manifest == plain.manifest
    content = sealed_path.read_bytes()
    assert MODEL not in content
    assert b"trees" not in content


def test_a_plain_bundle_never_asks_for_the_key(signed_bundle: SignedBundle) -> None:
    def never() -> X25519PrivateKey:
        raise AssertionError("asked")

    assert load_bundle(signed_bundle.path, signed_bundle.trust, opener=never)


def test_it_is_unpacked_for_its_recipient_alone(signed_bundle: SignedBundle, sealed_path: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongRecipient):
        unpack_bundle(sealed_path, tmp_path / "out", signed_bundle.trust, opener=lambda: ELSEWHERE)
    assert not (tmp_path / "out").exists()
    unpack_bundle(sealed_path, tmp_path / "out", signed_bundle.trust, opener=lambda: HERE)
    assert (tmp_path / "out" / "model.onnx").read_bytes() == MODEL


@pytest.mark.parametrize("opener", [None, lambda: None, lambda: ELSEWHERE])
def test_another_install_is_told_for_which_one_it_was_made_and_what_to_do(
    signed_bundle: SignedBundle, sealed_path: Path, opener: Callable[[], X25519PrivateKey | None] | None
) -> None:
    with pytest.raises(WrongRecipient, match=r"opens on install office-7 alone.*license request.*export --for"):
        load_bundle(sealed_path, signed_bundle.trust, opener=opener)


def test_each_of_several_recipients_opens_it(signed_bundle: SignedBundle, tmp_path: Path) -> None:
    path, made = tmp_path / "two.onsight", signed_bundle
    pack_bundle(path, made.manifest, made.files, made.key, [recipient(HERE), recipient(ELSEWHERE)])
    for key in (HERE, ELSEWHERE):
        assert load_bundle(path, made.trust, opener=lambda key=key: key).files == made.files
    with pytest.raises(WrongRecipient, match="with key"):
        load_bundle(path, made.trust, opener=X25519PrivateKey.generate)


def test_a_recipient_who_is_given_twice_is_named_once() -> None:
    file = io.BytesIO()
    twice = [recipient(HERE, "office-7"), recipient(ELSEWHERE), recipient(HERE)]
    write_sealed(file, b"plain", twice)
    (length,) = sealed._LENGTH.unpack_from(file.getvalue(), len(MAGIC))
    header = json.loads(file.getvalue()[len(MAGIC) + sealed._LENGTH.size :][:length])
    assert sorted(each["install"] for each in header["recipients"]) == ["", "office-7"]
    for key in (HERE, ELSEWHERE):
        assert SealedReader(file, "x", lambda key=key: key, 100).read() == b"plain"  # type: ignore[misc]


def test_every_byte_of_the_header_and_thousands_of_the_rest_flipped_are_refused(
    signed_bundle: SignedBundle, sealed_path: Path, tmp_path: Path
) -> None:
    original = sealed_path.read_bytes()
    header = len(MAGIC) + 4 + int.from_bytes(original[len(MAGIC) : len(MAGIC) + 4], "little")
    changed = tmp_path / "changed.onsight"
    random_ = random.Random(5)
    places = [*range(header), *(random_.randrange(header, len(original)) for _ in range(1000))]
    for place in places:
        data = bytearray(original)
        data[place] ^= 1 << random_.randrange(8)
        changed.write_bytes(data)
        with pytest.raises(BundleError):
            load_bundle(changed, signed_bundle.trust, opener=lambda: HERE)


def test_a_cut_or_longer_one_is_refused_before_it_is_decrypted(
    signed_bundle: SignedBundle, sealed_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = sealed_path.read_bytes()
    monkeypatch.setattr(SealedReader, "_content_key", lambda *_: pytest.fail("decrypted"))
    for data in (*(original[:size] for size in range(0, len(original), 97)), original + b"x", original * 2):
        (tmp_path / "cut.onsight").write_bytes(data)
        with pytest.raises(MalformedBundle):
            load_bundle(tmp_path / "cut.onsight", signed_bundle.trust, opener=lambda: HERE)


def test_chunks_may_neither_change_places_nor_end_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "CHUNK_BYTES", 1024)
    plain = os.urandom(4 * 1024)
    out = io.BytesIO()
    write_sealed(out, plain, [recipient(HERE)])
    data, size = out.getvalue(), 1024 + 16
    start = len(data) - 4 * size

    def read(content: bytes) -> bytes:
        return SealedReader(io.BytesIO(content), "it", lambda: HERE, 10_000).read()

    assert read(data) == plain
    first, second = data[start : start + size], data[start + size : start + 2 * size]
    with pytest.raises(MalformedBundle, match="part 1 of 4"):
        read(data[:start] + second + first + data[start + 2 * size :])
    with pytest.raises(MalformedBundle):
        read(data[:-size])


def test_any_part_of_it_is_read_as_from_a_plain_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "CHUNK_BYTES", 1024)
    random_ = random.Random(1)
    for length in (1, 1023, 1024, 1025, 5000):
        plain = random_.randbytes(length)
        out = io.BytesIO()
        write_sealed(out, plain, [recipient(HERE)])
        reader, file = SealedReader(out, "it", lambda: HERE, 10_000), io.BytesIO(plain)
        for _ in range(50):
            offset, size = random_.randrange(length + 5), random_.randrange(length + 5)
            assert reader.seek(offset) == file.seek(offset)
            assert reader.read(size) == file.read(size)


def test_sizes_are_judged_before_any_memory_is_taken(
    signed_bundle: SignedBundle, sealed_path: Path, tmp_path: Path
) -> None:
    limits = ArchiveLimits(max_entries=1, max_total_bytes=10)
    with pytest.raises(MalformedBundle, match="at most"), open_archive(sealed_path, limits, lambda: HERE):
        pass
    (tmp_path / "header.onsight").write_bytes(MAGIC + (MAX_HEADER_BYTES + 1).to_bytes(4, "little") + b"{}")
    with pytest.raises(MalformedBundle, match="header of at most"):
        load_bundle(tmp_path / "header.onsight", signed_bundle.trust, opener=lambda: HERE)


def test_a_key_of_small_order_is_refused(signed_bundle: SignedBundle, tmp_path: Path) -> None:
    with pytest.raises(MalformedBundle, match="X25519"):
        write_archive(tmp_path / "weak.onsight", signed_bundle.files, [Recipient(bytes(32))])
    assert not (tmp_path / "weak.onsight").exists()


def test_a_sealed_one_within_a_sealed_one_is_no_bundle(
    signed_bundle: SignedBundle, sealed_path: Path, tmp_path: Path
) -> None:
    path = tmp_path / "twice.onsight"
    with path.open("wb") as file:
        write_sealed(cast(BinaryIO, file), sealed_path.read_bytes(), [recipient(HERE)])
    with pytest.raises(MalformedBundle, match="zip archive"):
        load_bundle(path, signed_bundle.trust, opener=lambda: HERE)


def test_writing_one_leaves_no_plain_file_behind_when_the_disk_fails(
    signed_bundle: SignedBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []

    def fail(_file: object, plain: bytes, _recipients: object) -> None:
        written.extend(path.read_bytes() for path in tmp_path.glob(".*.tmp"))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bundle.archive.write_sealed", fail)
    with pytest.raises(OSError, match="No space"):
        write_archive(tmp_path / "full.onsight", signed_bundle.files, [recipient(HERE)])
    assert written == [b""]
    assert not list(tmp_path.glob("*full*"))
