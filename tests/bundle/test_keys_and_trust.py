"""Keys keep to themselves, and only keys that the operator has added are trusted."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bundle.errors import KeyFileError, SignatureMismatch, UntrustedKey
from bundle.home import OnsightHome
from bundle.keys import PublicKey, SigningKey
from bundle.trust import TrustStore

PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8

# RFC 8032, section 7.1, test 2
RFC_SECRET = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
RFC_PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
RFC_SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


@pytest.fixture
def store(tmp_path: Path) -> TrustStore:
    return TrustStore(tmp_path / "trust")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_signatures_are_those_of_the_standard():
    key = SigningKey(Ed25519PrivateKey.from_private_bytes(RFC_SECRET))
    assert key.public_key.raw == RFC_PUBLIC
    assert key.sign(b"\x72") == RFC_SIGNATURE
    key.public_key.verify(b"\x72", RFC_SIGNATURE)
    with pytest.raises(SignatureMismatch):
        key.public_key.verify(b"\x73", RFC_SIGNATURE)


def test_a_key_id_is_the_head_of_the_public_keys_digest():
    key = SigningKey.generate().public_key
    assert key.key_id == hashlib.sha256(key.raw).hexdigest()[:16]


@pytest.mark.parametrize("length", [0, 63, 65])
def test_a_signature_of_another_length_does_not_verify(length: int):
    key = SigningKey.generate()
    with pytest.raises(SignatureMismatch):
        key.public_key.verify(b"m", (key.sign(b"m") + b"\0")[:length])


def test_a_saved_private_key_is_readable_by_its_owner_alone(tmp_path: Path):
    key = SigningKey.generate()
    before = os.umask(0)
    try:
        key.save(tmp_path / "key.pem")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "key.pem") == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key.pem"]
    assert SigningKey.load(tmp_path / "key.pem").public_key == key.public_key


def test_the_temporary_file_of_a_private_key_is_never_readable_by_others(tmp_path: Path, monkeypatch):
    seen: list[int] = []
    real_fsync = os.fsync

    def watch(descriptor: int) -> None:
        seen.extend(mode_of(path) for path in tmp_path.iterdir())
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    before = os.umask(0)
    try:
        SigningKey.generate().save(tmp_path / "key.pem")
    finally:
        os.umask(before)
    assert seen
    assert set(seen) == {0o600}


def test_a_private_key_file_is_never_overwritten(tmp_path: Path):
    path = tmp_path / "key.pem"
    SigningKey.generate().save(path)
    kept = path.read_bytes()
    with pytest.raises(KeyFileError, match="never overwritten"):
        SigningKey.generate().save(path)
    assert path.read_bytes() == kept


def test_load_or_create_makes_one_key_even_when_many_ask_at_once(tmp_path: Path):
    path = tmp_path / "home" / "key.pem"
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(SigningKey.load_or_create(path).public_key.key_id))
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    assert set(found) == {SigningKey.load(path).public_key.key_id}
    assert mode_of(path.parent) == 0o700


def test_a_key_is_saved_once_on_a_file_system_without_links_too(tmp_path: Path, monkeypatch):
    def no_links(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "key.pem"
    key = SigningKey.generate()
    key.save(path)
    with pytest.raises(KeyFileError, match="never overwritten"):
        SigningKey.generate().save(path)
    assert SigningKey.load(path).public_key == key.public_key
    assert mode_of(path) == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["key.pem"]


def test_a_private_key_that_others_may_read_is_refused(tmp_path: Path):
    path = tmp_path / "key.pem"
    SigningKey.generate().save(path)
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        SigningKey.load(path)


def test_a_private_key_shows_itself_in_no_text(tmp_path: Path):
    key = SigningKey(Ed25519PrivateKey.from_private_bytes(RFC_SECRET))
    assert repr(key) == f"SigningKey({key.public_key.key_id})"


@pytest.mark.parametrize("content", [b"", b"hello", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_file_that_is_no_key_is_refused_with_a_remedy(content: bytes, tmp_path: Path):
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="expected a PEM file"):
        SigningKey.load(path)
    with pytest.raises(KeyFileError, match="expected a PEM file"):
        PublicKey.load(path)


def test_keys_of_other_kinds_and_encrypted_keys_are_refused(tmp_path: Path):
    other = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "key.pem"
    path.write_bytes(other.private_bytes(PEM, PKCS8, serialization.NoEncryption()))
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="another kind"):
        SigningKey.load(path)
    locked = Ed25519PrivateKey.generate().private_bytes(PEM, PKCS8, serialization.BestAvailableEncryption(b"word"))
    path.write_bytes(locked)
    with pytest.raises(KeyFileError, match="encrypted"):
        SigningKey.load(path)
    path.write_bytes(other.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(KeyFileError, match="another kind"):
        PublicKey.load(path)


def test_key_files_that_are_absent_large_or_no_files_are_refused(tmp_path: Path):
    with pytest.raises(KeyFileError, match="No such file"):
        PublicKey.load(tmp_path / "absent.pem")
    (tmp_path / "large.pem").write_bytes(b"x" * 20_000)
    with pytest.raises(KeyFileError, match="at most"):
        PublicKey.load(tmp_path / "large.pem")
    os.mkfifo(tmp_path / "pipe.pem")
    with pytest.raises(KeyFileError, match="pipe"):
        PublicKey.load(tmp_path / "pipe.pem")


def test_a_private_key_in_place_of_a_public_one_is_named_so(tmp_path: Path):
    SigningKey.generate().save(tmp_path / "key.pem")
    with pytest.raises(KeyFileError, match="found a private key"):
        PublicKey.load(tmp_path / "key.pem")


def test_an_added_key_is_found_and_listed_by_name(store: TrustStore):
    keys = {name: SigningKey.generate().public_key for name in ("zoe", "adam", "müller & co")}
    for name, key in keys.items():
        store.add(key, name)
    assert [(key.name, key.public_key) for key in store.list()] == sorted(keys.items())
    for name, key in keys.items():
        assert store.get(key.key_id).name == name
        assert store.get(key.key_id).public_key == key


def test_an_empty_or_absent_store_trusts_nobody(store: TrustStore):
    assert store.list() == ()
    with pytest.raises(UntrustedKey, match="no key at all"):
        store.get("0123456789abcdef")


def test_adding_a_key_twice_keeps_one_with_the_new_name(store: TrustStore):
    key = SigningKey.generate().public_key
    store.add(key, "old")
    store.add(key, "new")
    assert [(key.name) for key in store.list()] == ["new"]
    assert len(list(store.folder.iterdir())) == 1


def test_a_removed_key_is_trusted_no_longer(store: TrustStore):
    key, other = SigningKey.generate().public_key, SigningKey.generate().public_key
    store.add(key, "one")
    store.add(other, "two")
    key.save(store.folder / "copy.pem")
    store.remove(key.key_id)
    assert [key.name for key in store.list()] == ["two"]
    with pytest.raises(UntrustedKey):
        store.get(key.key_id)
    with pytest.raises(UntrustedKey):
        store.remove(key.key_id)


def test_a_key_file_put_there_by_hand_counts(store: TrustStore):
    key = SigningKey.generate().public_key
    store.folder.mkdir()
    key.save(store.folder / "acme.pem")
    assert [(found.name, found.key_id) for found in store.list()] == [("acme", key.key_id)]


def test_a_file_named_after_a_trusted_key_does_not_stand_in_for_it(store: TrustStore):
    trusted, stranger = SigningKey.generate().public_key, SigningKey.generate().public_key
    store.folder.mkdir()
    stranger.save(store.folder / f"{trusted.key_id}.pem")
    with pytest.raises(UntrustedKey):
        store.get(trusted.key_id)


def test_a_foreign_file_hides_no_key_and_is_told_of(store: TrustStore):
    key = SigningKey.generate().public_key
    store.add(key, "good")
    (store.folder / "notes.txt").write_text("not looked at")
    (store.folder / "broken.pem").write_text("nonsense")
    assert [found.name for found in store.list()] == ["good"]
    assert store.get(key.key_id).name == "good"
    assert len(store.problems()) == 1
    assert "broken.pem: expected a PEM file" in store.problems()[0]
    with pytest.raises(UntrustedKey, match=r"broken\.pem"):
        store.get("0" * 16)


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "two\nlines", "bell\a"])
def test_a_name_that_cannot_stand_on_one_line_is_refused(name: str, store: TrustStore):
    with pytest.raises(KeyFileError, match="printable"):
        store.add(SigningKey.generate().public_key, name)


def test_a_store_that_is_no_folder_is_refused_with_a_remedy(tmp_path: Path):
    (tmp_path / "trust").write_text("a file")
    with pytest.raises(KeyFileError, match="folder"):
        TrustStore(tmp_path / "trust").list()
    with pytest.raises(KeyFileError, match="folder"):
        TrustStore(tmp_path / "trust").add(SigningKey.generate().public_key, "x")


def test_the_home_folder_comes_from_the_environment_or_the_users_own(tmp_path: Path):
    assert OnsightHome.from_environment({"ONSIGHT_HOME": str(tmp_path)}).path == tmp_path
    assert OnsightHome.from_environment({}).path == Path.home() / ".onsight"
    assert OnsightHome.from_environment({"ONSIGHT_HOME": " "}).path == Path.home() / ".onsight"
    assert OnsightHome.from_environment({"ONSIGHT_HOME": "~/x"}).path == Path.home() / "x"
    home = OnsightHome(tmp_path)
    inside = {home.trust_dir, home.signing_key_path, home.tokens_path, home.cache_dir}
    assert len(inside) == 4
    assert all(path.parent == tmp_path for path in inside)
    assert not list(tmp_path.iterdir())
