"""What is packed comes back, byte for byte, from zip and folder, and only after it has been verified."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bundle.archive import read_archive, write_archive
from bundle.digests import check_files
from bundle.errors import DigestMismatch, MalformedBundle, UnlistedFile, UnsupportedSchema, UntrustedKey
from bundle.files import write_atomically
from bundle.keys import SigningKey
from bundle.load import load_bundle, read_manifest, unpack_bundle
from bundle.manifest import Manifest, parse_manifest
from bundle.pack import describe_files, pack_bundle
from bundle.signature import MESSAGE_PREFIX, parse_signature, sign_manifest
from bundle.trust import TrustStore


def test_a_packed_bundle_loads_with_everything_that_was_put_in(signed_bundle):
    bundle = load_bundle(signed_bundle.path, signed_bundle.trust)
    assert bundle.manifest == signed_bundle.manifest
    assert dict(bundle.files) == signed_bundle.files
    assert bundle.key_id == signed_bundle.key.public_key.key_id
    assert bundle.path == signed_bundle.path
    assert len(bundle.manifest_sha256) == 64


def test_a_loaded_bundle_cannot_be_changed(signed_bundle):
    bundle = load_bundle(signed_bundle.path, signed_bundle.trust)
    with pytest.raises(TypeError):
        bundle.files["model.onnx"] = b""


def test_packing_twice_gives_the_same_bytes(signed_bundle, tmp_path: Path):
    again = tmp_path / "again.onsight"
    shuffled = dict(reversed(signed_bundle.files.items()))
    pack_bundle(again, signed_bundle.manifest, shuffled, signed_bundle.key)
    assert again.read_bytes() == signed_bundle.path.read_bytes()


def test_an_unpacked_bundle_loads_from_its_folder(signed_bundle, tmp_path: Path):
    folder = tmp_path / "unpacked"
    unpacked = unpack_bundle(signed_bundle.path, folder, signed_bundle.trust)
    loaded = load_bundle(folder, signed_bundle.trust)
    assert dict(unpacked.files) == dict(loaded.files) == signed_bundle.files
    assert unpacked.manifest_sha256 == loaded.manifest_sha256
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [*signed_bundle.files, "manifest.json", "manifest.sig"]
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "fp32"}, "variants: expected each name once"),
        ({"certificate": {"value": 0.1}}, "loss: expected 0.800000, full less value, found 0.010000"),
        ({"certificate": {"rejected": None}}, "rejected: expected both shares"),
        ({"certificate": {"loss": {"value": float("nan")}}}, "finite number"),
        ({}, None),
    ],
    ids=["two of one name", "another loss", "half of a share", "no number", "as it should be"],
)
def test_a_certificate_that_contradicts_itself_is_refused(
    manifest: Manifest, changes: dict[str, Any], says: str | None
):
    """Whether a variant passed follows from its figures, so they have to agree."""
    document = json.loads(manifest.to_bytes())
    certificate = {
        "provider": "CPUExecutionProvider", "split": "test", "images": 100, "metric": "accuracy", "full": 0.9,
        "value": 0.89, "loss": {"value": 0.01}, "agreement": 0.98, "max_difference": 0.2, "decisions_flipped": 2,
        "rejected_full": 0.01, "rejected": 0.02, "golden_tolerance": 0.1, "limits": {},
    }  # fmt: skip
    certificate |= changes.get("certificate", {})
    variant = {**document["variants"][0], "name": "int8", "precision": "int8", **changes, "certificate": certificate}
    document["variants"].append(variant)
    data = json.dumps(document).encode()
    if says is None:
        assert parse_manifest(data).variants[1].may_serve
        return
    with pytest.raises(MalformedBundle, match=says):
        parse_manifest(data)


@pytest.mark.parametrize(
    "time",
    ["2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-02T24:00:00Z", "\u0662026-01-02T03:04:05Z", "2026"],
)
def test_a_bundle_that_was_made_at_a_time_that_never_was_is_refused(manifest: Manifest, time: str):
    """A server that has to compare it with a licence would stumble over it, and with it over all other bundles."""
    document = {**json.loads(manifest.to_bytes()), "created_at": time}
    with pytest.raises(MalformedBundle, match="created_at"):
        parse_manifest(json.dumps(document).encode())


def test_what_is_wrong_with_fields_together_is_told_in_our_words_alone(manifest: Manifest):
    document = {**json.loads(manifest.to_bytes()), "thresholds": [0.5]}
    with pytest.raises(MalformedBundle, match=r"^manifest\.json: thresholds: expected 3"):
        parse_manifest(json.dumps(document).encode())


def test_a_folder_that_is_not_there_is_told_of_with_the_name_that_was_asked_for(tmp_path: Path):
    out = tmp_path / "gone" / "x.json"
    with pytest.raises(FileNotFoundError) as caught:
        write_atomically(out, b"{}")
    assert caught.value.filename == str(out)


def test_unpacking_writes_nothing_when_the_key_is_unknown(signed_bundle, tmp_path: Path):
    with pytest.raises(UntrustedKey):
        unpack_bundle(signed_bundle.path, tmp_path / "out", TrustStore(tmp_path / "nobody"))
    assert not (tmp_path / "out").exists()


def test_unpacking_refuses_a_folder_that_exists(signed_bundle, tmp_path: Path):
    (tmp_path / "out").mkdir()
    with pytest.raises(MalformedBundle, match="Choose a new name"):
        unpack_bundle(signed_bundle.path, tmp_path / "out", signed_bundle.trust)
    assert not list((tmp_path / "out").iterdir())


def test_a_folder_packed_by_the_zip_command_loads(signed_bundle, tmp_path: Path):
    folder = tmp_path / "unpacked"
    unpack_bundle(signed_bundle.path, folder, signed_bundle.trust)
    packed = tmp_path / "by-hand.onsight"
    if shutil.which("zip"):
        names = sorted(path.name for path in folder.iterdir())
        subprocess.run(["zip", "-q", "-0", "-X", "-D", packed, *names], cwd=folder, check=True)
    else:
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for path in sorted(folder.iterdir()):
                archive.write(path, path.name)  # with the file's own time and mode, as the command does
    assert dict(load_bundle(packed, signed_bundle.trust).files) == signed_bundle.files


def test_a_bundle_is_a_zip_that_any_tool_reads(signed_bundle):
    with zipfile.ZipFile(signed_bundle.path) as archive:
        assert archive.testzip() is None
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.read("card.md") == signed_bundle.files["card.md"]


@pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in ("bash", "unzip", "openssl", "python3", "sha256sum")),
    reason="the manual's commands need unzip, openssl, python3 and sha256sum",
)
def test_the_manuals_commands_verify_a_bundle_by_hand_and_notice_a_change(signed_bundle, tmp_path: Path):
    page = (Path(__file__).parents[2] / "docs" / "bundle-format.md").read_text()
    commands = re.findall(r"^\$ (.+)$", page.partition("## Verifying by hand")[2], re.MULTILINE)
    assert len(commands) == 5

    def verify(bundle: bytes, name: str) -> subprocess.CompletedProcess[str]:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.onsight").write_bytes(bundle)
        signed_bundle.key.public_key.save(folder / "maker.pem")
        script = "\n".join(["set -e -o pipefail", *commands])
        return subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False)

    fine = verify(signed_bundle.path.read_bytes(), "fine")
    assert fine.returncode == 0, fine.stderr
    assert all(f"{name}: OK" in fine.stdout for name in signed_bundle.files)
    entries = read_archive(signed_bundle.path)
    for name in ("manifest.json", "card.md"):
        changed = tmp_path / f"changed-{name}.onsight"
        write_archive(changed, {**entries, name: entries[name] + b" "})
        assert verify(changed.read_bytes(), f"with-changed-{name}").returncode != 0


def test_only_the_manifest_can_be_read_and_is_verified_too(signed_bundle, tmp_path: Path):
    verified = read_manifest(signed_bundle.path, signed_bundle.trust)
    assert verified.manifest == signed_bundle.manifest
    assert verified.manifest_sha256 == load_bundle(signed_bundle.path, signed_bundle.trust).manifest_sha256
    with pytest.raises(UntrustedKey):
        read_manifest(signed_bundle.path, TrustStore(tmp_path / "nobody"))


def test_packing_refuses_files_that_the_manifest_does_not_list(signed_bundle, tmp_path: Path):
    out = tmp_path / "new.onsight"
    with pytest.raises(UnlistedFile, match=r"extra\.bin"):
        pack_bundle(out, signed_bundle.manifest, {**signed_bundle.files, "extra.bin": b"x"}, signed_bundle.key)
    fewer = {name: data for name, data in signed_bundle.files.items() if name != "card.md"}
    with pytest.raises(UnlistedFile, match=r"card\.md"):
        pack_bundle(out, signed_bundle.manifest, fewer, signed_bundle.key)
    with pytest.raises(DigestMismatch, match=r"card\.md"):
        pack_bundle(out, signed_bundle.manifest, {**signed_bundle.files, "card.md": b"x"}, signed_bundle.key)
    assert not out.exists()


def test_packing_over_an_old_bundle_replaces_it_whole_and_leaves_no_other_file(signed_bundle):
    old = signed_bundle.path.stat().st_ino
    pack_bundle(signed_bundle.path, signed_bundle.manifest, signed_bundle.files, signed_bundle.key)
    assert signed_bundle.path.stat().st_ino != old
    assert load_bundle(signed_bundle.path, signed_bundle.trust).manifest == signed_bundle.manifest
    assert not list(signed_bundle.path.parent.glob(".*.tmp"))


def test_a_failed_write_leaves_the_old_bundle_and_no_rubbish(signed_bundle):
    before = signed_bundle.path.read_bytes()
    with pytest.raises(TypeError):
        write_archive(signed_bundle.path, {"a": b"fine", "b": object()})  # type: ignore[dict-item]
    assert signed_bundle.path.read_bytes() == before
    assert not list(signed_bundle.path.parent.glob(".*.tmp"))


def test_a_bundle_signed_by_another_key_is_refused_until_that_key_is_trusted(signed_bundle, tmp_path: Path):
    stranger = SigningKey.generate()
    path = tmp_path / "strange.onsight"
    pack_bundle(path, signed_bundle.manifest, signed_bundle.files, stranger)
    with pytest.raises(UntrustedKey, match="onsight trust add"):
        load_bundle(path, signed_bundle.trust)
    signed_bundle.trust.add(stranger.public_key, "somebody")
    assert load_bundle(path, signed_bundle.trust).key_id == stranger.public_key.key_id


def test_a_manifest_of_another_schema_version_is_told_apart(signed_bundle, tmp_path: Path):
    manifest_bytes = signed_bundle.manifest.to_bytes().replace(b'"schema_version": 1', b'"schema_version": 2')
    path = tmp_path / "future.onsight"
    signature = sign_manifest(manifest_bytes, signed_bundle.key)
    write_archive(path, {"manifest.json": manifest_bytes, "manifest.sig": signature, **signed_bundle.files})
    with pytest.raises(UnsupportedSchema, match="found 2"):
        load_bundle(path, signed_bundle.trust)


def test_a_signature_for_other_documents_does_not_pass_for_a_bundle(signed_bundle, tmp_path: Path):
    entries = read_archive(signed_bundle.path)
    own = sign_manifest(entries["manifest.json"], signed_bundle.key)
    assert parse_signature(own).signature == signed_bundle.key.sign(MESSAGE_PREFIX + entries["manifest.json"])
    assert parse_signature(own).signature != signed_bundle.key.sign(entries["manifest.json"])


def test_files_are_described_by_size_and_digest_in_order_of_name(
    files: dict[str, bytes], make_manifest: Callable[..., Manifest]
):
    described = describe_files(files)
    assert [entry.name for entry in described] == sorted(files)
    assert all(entry.size == len(files[entry.name]) for entry in described)
    check_files(make_manifest(files=[entry.model_dump() for entry in described]), files)
