"""`onsight export --for`: from an install's request, or its key, to a bundle that it alone opens."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from tiny_runs import TinyRun

from bundle.errors import WrongRecipient
from bundle.home import OnsightHome
from bundle.load import load_bundle
from bundle.sealed import Recipient
from bundle.trust import TrustStore
from licenses.claims import RequestDocument
from licenses.envelope import Kind, seal
from licenses.errors import IdentityError, LicenseError
from licenses.identity import InstallIdentity
from licenses.opener import opener_of
from licenses.recipient import read_recipient
from onsight.cli import main


@pytest.fixture
def customer(tmp_path: Path) -> InstallIdentity:
    return InstallIdentity.load_or_create(tmp_path / "customer")


def request_of(customer: InstallIdentity, path: Path) -> Path:
    document = RequestDocument(
        name="office", iat=datetime(2026, 1, 2, tzinfo=UTC), sign_public=customer.public_key.raw.hex(),
        recipient_public=customer.recipient_public.hex(), factors={},
    )  # fmt: skip
    path.write_bytes(seal(Kind.REQUEST, document, customer.sign_key).to_bytes())
    return path


def test_a_request_names_the_install_and_a_key_does_not(customer: InstallIdentity, tmp_path: Path) -> None:
    key = customer.recipient_public
    assert read_recipient(str(request_of(customer, tmp_path / "r"))) == Recipient(key, customer.install_id)
    assert read_recipient(key.hex()) == Recipient(key)
    (tmp_path / "key.txt").write_text(key.hex().upper() + "\n")
    assert read_recipient(str(tmp_path / "key.txt")) == Recipient(key)


def test_a_request_that_was_changed_seals_nothing(customer: InstallIdentity, tmp_path: Path) -> None:
    stranger = InstallIdentity.load_or_create(tmp_path / "stranger")
    mine, theirs = request_of(customer, tmp_path / "a"), request_of(stranger, tmp_path / "b")
    lines, other = mine.read_text().splitlines(), theirs.read_text().splitlines()
    (tmp_path / "mixed").write_text("\n".join([*lines[:4], *other[4:]]))
    with pytest.raises(LicenseError):
        read_recipient(str(tmp_path / "mixed"))
    document = RequestDocument(
        name="office", iat=datetime(2026, 1, 2, tzinfo=UTC), sign_public=customer.public_key.raw.hex(),
        recipient_public=stranger.recipient_public.hex(), factors={},
    )  # fmt: skip
    (tmp_path / "forged").write_bytes(seal(Kind.REQUEST, document, stranger.sign_key).to_bytes())
    with pytest.raises(LicenseError) as refusal:
        read_recipient(str(tmp_path / "forged"))
    assert refusal.value.code == "LICENSE_BAD_SIGNATURE"


@pytest.mark.parametrize("text", ["absent.txt", "ab" * 31, "."])
def test_neither_a_request_nor_a_key_is_told_of_with_what_to_do(text: str) -> None:
    with pytest.raises(IdentityError, match="onsight license request"):
        read_recipient(text)


@pytest.mark.parametrize(
    "key", ["00" * 32, "01" + "00" * 31, "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"]
)
def test_a_key_whose_secret_anyone_knows_is_refused_before_anything_is_made(key: str, tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_text(key)
    for text in (key, str(tmp_path / "key.txt")):
        with pytest.raises(IdentityError, match="expected an X25519 public key, found one of which anyone knows"):
            read_recipient(text)


@pytest.mark.slow
def test_the_command_writes_a_bundle_for_the_customer_alone(
    customer: InstallIdentity, single_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = OnsightHome(tmp_path / "maker")
    monkeypatch.setenv("ONSIGHT_HOME", str(home.path))
    request, out = request_of(customer, tmp_path / "request.txt"), tmp_path / "trash.onsight"
    done = CliRunner().invoke(main, ["export", str(single_run.folder), "--out", str(out), "--for", str(request)])
    assert done.exit_code == 0, done.output
    assert f"encrypted for {customer.install_id}" in done.output
    assert "onsight predict" not in done.output  # this install cannot open it
    assert f"Next:   send {out} to where it can be opened" in done.output
    trust = TrustStore(home.trust_dir)
    bundle = load_bundle(out, trust, opener=opener_of(tmp_path / "customer"))
    assert bundle.files["model.onnx"][:64] not in out.read_bytes()
    with pytest.raises(WrongRecipient, match=customer.install_id):
        load_bundle(out, trust, opener=opener_of(home.licenses_dir))
