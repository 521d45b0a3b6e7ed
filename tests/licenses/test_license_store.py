"""What an install holds: bad files, old files, foreign files, several processes; the last good one stays in force."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from vendor import Vendor, install

from bundle.keys import SigningKey
from licenses.claims import Binding, RingDocument
from licenses.envelope import MAX_FILE_BYTES, Kind, Sealed, seal
from licenses.errors import LicenseError
from licenses.gate import LicenseGate
from licenses.identity import InstallIdentity
from licenses.keyring import KeyRing, issuer_of
from licenses.request import make_release
from licenses.store import LicenseStore

NOW = datetime(2030, 6, 1, tzinfo=UTC)
YEAR = timedelta(days=365)


@pytest.fixture
def vendor(tmp_path: Path) -> Vendor:
    return Vendor(tmp_path / "issuer", NOW)


@pytest.fixture
def store(tmp_path: Path) -> LicenseStore:
    return LicenseStore(tmp_path / "licenses")


def code(store: LicenseStore, data: bytes) -> str:
    """Why a file is refused; nothing is written for it."""
    before = contents(store)
    with pytest.raises(LicenseError) as refused:
        store.check(data, "acme.lic")
    assert contents(store) == before
    return refused.value.code


def contents(store: LicenseStore) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in store.folder.rglob("*") if path.is_file()}


def numbers(store: LicenseStore) -> list[int]:
    return [each.claims.seq for held in store.read().licenses.values() for each in held]


def test_a_file_is_kept_with_all_that_is_in_it_readable_by_its_owner_alone(store: LicenseStore, vendor: Vendor) -> None:
    assert store.is_empty
    made = vendor.issue()
    vendor.issuer.revoke(vendor.issue().claims.lic_id, "a mistake", NOW)
    install(store.folder, vendor.issuer.response(made, NOW))
    held = store.read()
    assert (list(held.rings), list(held.revocations), held.problems) == ([vendor.id], [vendor.id], [])
    assert held.licenses == {(vendor.id, made.claims.lic_id): [made]}
    assert {path.stat().st_mode & 0o777 for path in store.folder.rglob("*.txt")} == {0o600}


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00" * 100, b"hello", b"-----BEGIN ONSIGHT LICENSE-----\nAAAA\n-----END ONSIGHT LICENSE-----\n",
     b"-----BEGIN ONSIGHT LICENSE-----\n" + b"A" * MAX_FILE_BYTES + b"\n-----END ONSIGHT LICENSE-----\n"],
)  # fmt: skip
def test_what_is_no_licence_file_is_refused(store: LicenseStore, data: bytes) -> None:
    assert code(store, data) == "LICENSE_MALFORMED"


def test_each_changed_byte_of_a_file_is_refused_or_changes_nothing(store: LicenseStore, vendor: Vendor) -> None:
    data = vendor.file()
    before = store.check(data)
    refused = 0
    for place in range(0, len(data), 7):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        try:
            assert store.check(changed) == before  # a line end that became a space, say
        except LicenseError:
            refused += 1
    assert refused > len(data) // 7 * 0.98


def test_a_licence_without_its_key_ring_needs_one_that_is_installed(store: LicenseStore, vendor: Vendor) -> None:
    alone = vendor.issue().sealed.to_bytes()
    assert code(store, alone) == "LICENSE_UNKNOWN_KEY"
    install(store.folder, vendor.issuer.ring.sealed.to_bytes())
    install(store.folder, alone)
    assert numbers(store) == [1]


def test_a_request_is_no_licence(store: LicenseStore, tmp_path: Path) -> None:
    identity = InstallIdentity.load_or_create(tmp_path / "identity")
    assert code(store, make_release(identity, "0" * 32, "lic-test", NOW).encode()) == "LICENSE_MALFORMED"


def test_of_one_licence_the_highest_number_that_has_begun_counts(store: LicenseStore, vendor: Vendor) -> None:
    install(store.folder, vendor.file(lic_id="lic-test", seq=1, models=["one"]))
    install(store.folder, vendor.file(lic_id="lic-test", seq=3, begins=NOW + YEAR, models=["three"]))
    install(store.folder, vendor.file(lic_id="lic-test", seq=2, models=["two"]))
    assert numbers(store) == [3, 2, 1]

    def model(now: datetime) -> str:
        (holding,) = LicenseGate(store.folder, now=lambda: now).holdings()
        assert holding.license is not None
        return holding.license.claims.models[0]

    assert (model(NOW), model(NOW + YEAR)) == ("two", "three")


def test_a_bad_newer_file_leaves_the_last_good_one_in_force_and_is_told_of(store: LicenseStore, vendor: Vendor) -> None:
    install(store.folder, vendor.file(lic_id="lic-test", seq=1))
    good = vendor.issue(lic_id="lic-test", seq=2).sealed.to_bytes()
    folder = store.folder / "installed"
    (folder / "half.txt").write_bytes(good[: len(good) // 2])
    (folder / "forged.txt").write_bytes(good.replace(good[100:101], b"B" if good[100:101] != b"B" else b"C"))
    (folder / "link.txt").symlink_to(folder / "nowhere")
    (folder / "folder.txt").mkdir()
    os.mkfifo(folder / "pipe.txt")
    (folder / "large.txt").write_bytes(good * 100)
    (folder / ".half.txt").write_bytes(b"what a crash left behind")
    held = store.read()
    assert numbers(store) == [1]
    assert {problem.file for problem in held.problems} == {
        f"installed/{name}.txt" for name in ("half", "forged", "link", "folder", "large", "pipe")
    }
    gate = LicenseGate(store.folder, now=lambda: NOW)
    assert gate.require("serve", issuer=vendor.id, model="trash", new=True).claims.seq == 1
    assert sorted(each.exit_code for each in gate.holdings()) == [0, 21, 21, 21, 21, 21, 21]


def test_a_damaged_file_of_the_same_number_is_mended_by_installing_it_again(
    store: LicenseStore, vendor: Vendor
) -> None:
    data = vendor.file()
    install(store.folder, data)
    for path in store.folder.rglob("*.txt"):
        path.write_bytes(b"damaged")
    assert numbers(store) == []
    install(store.folder, data)
    assert (numbers(store), store.read().problems) == ([1], [])


def test_another_file_of_a_number_that_is_installed_is_refused(store: LicenseStore, vendor: Vendor) -> None:
    install(store.folder, vendor.file(lic_id="lic-test", models=["one"]))
    assert code(store, vendor.file(lic_id="lic-test", models=["two"])) == "LICENSE_MALFORMED"


def test_an_older_ring_or_list_never_takes_the_place_of_a_newer_one(store: LicenseStore, vendor: Vendor) -> None:
    first_ring = vendor.issuer.ring.sealed.to_bytes()
    taken_back = vendor.issue(lic_id=None)
    first_list = vendor.issuer.revocations(NOW).sealed.to_bytes()
    vendor.issuer.revoke(taken_back.claims.lic_id, "contract ended", NOW)
    second_list = vendor.issuer.revocations(NOW).sealed.to_bytes()
    second_ring = vendor.issuer.rotate("licence", NOW + timedelta(days=1)).sealed.to_bytes()
    for data in (second_ring + second_list, first_ring + first_list):
        install(store.folder, data)
        held = store.read()
        assert held.rings[vendor.id].seq == 2
        assert held.revocations[vendor.id].reason(taken_back.claims.lic_id) == "contract ended"
        assert "contract ended" in str(held.revocation_of(taken_back))
    assert code(store, taken_back.sealed.to_bytes()) == "LICENSE_REVOKED"


def test_a_ring_of_strangers_makes_nobody_else_s_licence_its_own(store: LicenseStore, vendor: Vendor) -> None:
    roots = sorted((SigningKey.generate() for _ in range(2)), key=lambda key: key.public_key.key_id)
    ring = vendor.issuer.ring
    document = RingDocument.model_validate(
        {
            **ring.document.model_dump(mode="json"),
            "issuer": issuer_of(root.public_key for root in roots),
            "roots": [root.public_key.raw.hex() for root in roots],
        }
    )
    stranger = KeyRing.open(seal(Kind.KEYRING, document, *roots))
    install(store.folder, stranger.sealed.to_bytes())
    install(store.folder, vendor.file())
    gate = LicenseGate(store.folder, now=lambda: NOW)
    assert gate.require("serve", issuer=vendor.id, model="trash", new=True).issuer == vendor.id


def test_a_licence_that_was_given_up_counts_no_longer_and_comes_back_with_a_new_number_alone(
    store: LicenseStore, vendor: Vendor
) -> None:
    identity = InstallIdentity.load_or_create(store.folder)
    data = vendor.file(lic_id="lic-test", seq=1)
    install(store.folder, data)
    ((held,),) = store.read().licenses.values()
    store.release(held, make_release(identity, vendor.id, "lic-test", NOW))
    assert numbers(store) == []
    assert code(store, data) == "LICENSE_HOST_MISMATCH"
    install(store.folder, vendor.file(lic_id="lic-test", seq=2))
    assert numbers(store) == [2]


def test_two_processes_that_install_at_once_end_with_one_whole_set(store: LicenseStore, vendor: Vendor) -> None:
    path = store.folder.parent / "acme.lic"
    path.write_bytes(vendor.file())
    program = (
        "import sys; from pathlib import Path; from licenses.store import LicenseStore;"
        "store = LicenseStore(Path(sys.argv[1])); data = Path(sys.argv[2]).read_bytes();"
        "[store.write(store.check(data)) for _ in range(20)]"
    )
    processes = [subprocess.Popen([sys.executable, "-c", program, store.folder, path]) for _ in range(3)]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    assert (numbers(store), store.read().problems) == ([1], [])
    assert len(contents(store)) == 2


def test_blocks_of_two_issuers_may_stand_in_one_file(store: LicenseStore, vendor: Vendor, tmp_path: Path) -> None:
    other = Vendor(tmp_path / "other", NOW)
    install(store.folder, vendor.file(lic_id="lic-same") + other.file(lic_id="lic-same"))
    assert set(store.read().licenses) == {(vendor.id, "lic-same"), (other.id, "lic-same")}


@pytest.mark.parametrize(("seq", "told"), [(1_000_000, None), (10**300, "LICENSE_MALFORMED")])
def test_a_number_that_would_be_no_file_s_name_is_refused(store: LicenseStore, seq: int, told: str | None) -> None:
    roots = sorted((SigningKey.generate() for _ in range(2)), key=lambda key: key.public_key.key_id)
    public = [root.public_key for root in roots]
    document = {
        "issuer": issuer_of(public), "name": "Maker", "seq": seq, "iat": "2030-01-01T00:00:00Z",
        "roots": [key.raw.hex() for key in public], "keys": [],
    }  # fmt: skip
    data = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    signatures = b"".join(root.sign(Kind.KEYRING.prefix + data) for root in roots)
    block = Sealed(Kind.KEYRING, "+".join(key.key_id for key in public), data, signatures).to_bytes()
    if told is None:
        install(store.folder, block)
        assert [ring.seq for ring in store.read().rings.values()] == [seq]
    else:
        assert code(store, block) == told


def test_what_is_held_is_read_again_when_a_file_changed_and_not_before(store: LicenseStore, vendor: Vendor) -> None:
    install(store.folder, vendor.file(lic_id="lic-test", seq=1))
    before = store.read()
    assert store.read() is before
    install(store.folder, vendor.file(lic_id="lic-test", seq=2))
    assert numbers(store) == [2, 1]
    (path,) = (store.folder / "installed").glob("*-2.txt")
    path.write_bytes(b"damaged where it lies")
    assert (numbers(store), len(store.read().problems)) == ([1], 1)


def test_an_identity_is_looked_up_again_when_its_file_changed(store: LicenseStore, vendor: Vendor) -> None:
    identity = InstallIdentity.load_or_create(store.folder)
    facts = {"machine-id": ("m",), "dmi-uuid": ("d",)}
    binding = Binding(mode="host", installs=(identity.install_id,), min_match=1, factors=identity.hashed(facts))
    install(store.folder, vendor.file(binding=binding))
    gate = LicenseGate(store.folder, now=lambda: NOW, monotonic=lambda: 0.0, factors=lambda: facts)
    path = store.folder / "identity.json"
    kept = path.read_bytes()
    path.unlink()
    InstallIdentity.load_or_create(store.folder)
    assert [each.state for each in gate.holdings()] == ["LICENSE_HOST_MISMATCH"]
    path.write_bytes(kept)
    assert [each.state for each in gate.holdings()] == ["ok"]


def test_a_folder_that_is_none_and_one_with_too_many_files_are_told_of(
    store: LicenseStore, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(store.folder, vendor.file(lic_id="lic-test", seq=1))
    install(store.folder, vendor.file(lic_id="lic-test", seq=2))
    monkeypatch.setattr("licenses.store._FILES_READ", 1)
    told_of_folder(store, "at most 1 files, found 2")
    shutil.rmtree(store.folder / "installed")
    (store.folder / "installed").write_text("no folder")
    told_of_folder(store, "Not a directory")


def told_of_folder(store: LicenseStore, reason: str) -> None:
    (problem,) = store.read().problems
    assert (problem.file, problem.error.code) == ("installed", "LICENSE_MALFORMED")
    assert reason in str(problem.error)
    assert "must own" in str(problem.error)
    assert [each.exit_code for each in LicenseGate(store.folder, now=lambda: NOW).holdings()][-1] == 21
