"""An issuer numbers and remembers what it signs, through rotations, thefts, crashes and several clerks at once.

One file of 500 lines: every test is a day in the life of the same issuer, by the same few helpers.
"""

from __future__ import annotations

import stat
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bundle.errors import KeyFileError
from bundle.keys import SigningKey
from licenses.binding import binding_of
from licenses.claims import Binding, Claims, RequestDocument, RevocationDocument, Terms, time_of
from licenses.envelope import Kind, read_blocks, seal
from licenses.errors import IssuerError, LicenseError
from licenses.identity import InstallIdentity
from licenses.issuer import Issuer
from licenses.keyring import KeyRing
from licenses.license import License, open_license
from licenses.register import ROOT_NAMES
from licenses.request import make_release, make_request, read_release, read_request
from licenses.revocation import open_revocations
from licenses.rotation import first_ring, ring_key, stolen
from licenses.store import LicenseStore

NOW = time_of("2026-05-01T00:00:00Z")
YEAR = timedelta(days=365)
FACTORS = {"machine-id": ("a",), "dmi-uuid": ("b",), "disk-serial": ("c", "d")}


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer.create(tmp_path / "issuer", "Maker", NOW)


@pytest.fixture
def installs(tmp_path: Path) -> list[InstallIdentity]:
    return [InstallIdentity.load_or_create(tmp_path / name) for name in ("one", "two", "three")]


def request_of(install: InstallIdentity, factors: dict[str, tuple[str, ...]] = FACTORS) -> RequestDocument:
    return read_request(make_request(install, "line 3", factors, NOW).encode())


def terms(binding: Binding | None = None, exp: datetime | None = NOW + YEAR, **changes: object) -> Terms:
    fields = {"licensee": "ACME", "models": ["*"], "actions": ["serve"], "exp": exp}
    return Terms.model_validate({**fields, "binding": binding or Binding(mode="none"), **changes})


def key_path(issuer: Issuer, use: str = "licence") -> Path:
    (path,) = issuer.folder.path.glob(f"{use}-*.pem")
    return path


def by_thief(key: SigningKey, made: License, **changes: object) -> License:
    """What whoever stole the key writes, as an install sees it that knows the ring of before."""
    claims = Claims.model_validate({**dict(made.claims), **changes})
    return License(claims, made.issuer, seal(Kind.LICENSE, claims, key))


def put_roots_away(issuer: Issuer, safe: Path) -> list[Path]:
    safe.mkdir()
    return [(issuer.folder.path / name).rename(safe / name) for name in ROOT_NAMES]


# Issuing


def test_what_is_issued_holds_with_the_ring_that_comes_with_it(issuer: Issuer):
    made = issuer.issue(terms(), NOW)
    ring_block, license_block = read_blocks(issuer.response(made, NOW))
    opened = open_license(license_block, KeyRing.open(ring_block))
    assert opened == made
    assert (opened.issuer, opened.claims.seq, opened.claims.nbf) == (issuer.ring.issuer, 1, NOW)
    assert [entry.claims for entry in Issuer.load(issuer.folder.path).entries] == [made.claims]


def test_files_are_for_their_owner_alone_and_a_second_issuer_never_takes_the_place(issuer: Issuer):
    issuer.revocations(NOW)
    before = {path.name: path.read_bytes() for path in issuer.folder.path.iterdir()}
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in issuer.folder.path.iterdir()}
    assert {name: mode for name, mode in modes.items() if mode & 0o077} == {}
    assert stat.S_IMODE(issuer.folder.path.stat().st_mode) == 0o700
    with pytest.raises(IssuerError, match="found one"):
        Issuer.create(issuer.folder.path, "Other", NOW)
    assert {path.name: path.read_bytes() for path in issuer.folder.path.iterdir()} == before
    assert [path.name for path in issuer.folder.path.parent.iterdir()] == ["issuer"]


def test_two_clerks_at_once_never_use_a_number_twice(issuer: Issuer):
    lic_id = issuer.issue(terms(), NOW).claims.lic_id
    code = (
        "import sys, pathlib; from datetime import datetime; from licenses.issuer import Issuer;"
        "issuer = Issuer.load(pathlib.Path(sys.argv[1])); sys.stdin.read(1); now = datetime.fromisoformat(sys.argv[3]);"
        "print([issuer.renew(sys.argv[2], now).claims.seq for _ in range(15)], [issuer.revocations(now).document.seq"
        " for _ in range(5)])"
    )
    command = [sys.executable, "-c", code, str(issuer.folder.path), lic_id, NOW.isoformat()]
    clerks = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for clerk in clerks:
        assert clerk.stdin is not None
        clerk.stdin.write("x")
        clerk.stdin.flush()
    answers = [clerk.communicate(timeout=120)[0].strip().strip("[]").split("] [") for clerk in clerks]
    for part, expected in ((0, range(2, 32)), (1, range(1, 11))):
        assert sorted(int(seq) for answer in answers for seq in answer[part].split(", ")) == list(expected)
    (entry,) = issuer.entries
    assert [file.seq for file in entry.files] == list(range(1, 32))


def test_a_renewed_licence_keeps_its_id_and_its_beginning(issuer: Issuer):
    first = issuer.issue(terms(), NOW)
    later = NOW + timedelta(days=300)
    second = issuer.renew(first.claims.lic_id, later, terms(exp=NOW + 2 * YEAR, models=["trash"]))
    assert (second.claims.lic_id, second.claims.seq) == (first.claims.lic_id, 2)
    assert (second.claims.iat, second.claims.nbf, second.claims.exp) == (later, NOW, NOW + 2 * YEAR)
    assert issuer.renew(first.claims.lic_id, later).claims.models == ("trash",)
    with pytest.raises(IssuerError, match="expected a time after now"):
        issuer.renew(first.claims.lic_id, NOW + 3 * YEAR)
    with pytest.raises(IssuerError, match="license list"):
        issuer.renew("lic-none", NOW)


def test_a_clock_that_stands_before_the_key_ring_signs_nothing(issuer: Issuer):
    issuer.issue(terms(), NOW - timedelta(hours=3))  # a clock that was set back a little
    with pytest.raises(IssuerError, match="clock"):
        issuer.issue(terms(), NOW - timedelta(days=2))
    assert len(issuer.entries) == 1


def test_terms_that_no_licence_may_hold_use_no_number(issuer: Issuer):
    made = issuer.issue(terms(), NOW)
    many = [f"{'m' * 90}{each}" for each in range(500)]
    for refused in (terms(models=many), terms(exp=NOW)):
        with pytest.raises(IssuerError, match=r"Name fewer models|expected a time after now"):
            issuer.issue(refused, NOW)
        with pytest.raises(IssuerError, match=r"Name fewer models|expected a time after now"):
            issuer.renew(made.claims.lic_id, NOW, refused)
    (entry,) = issuer.entries
    assert [file.seq for file in entry.files] == [1]


def test_a_list_for_which_a_licence_file_has_no_room_is_left_out_of_it(issuer: Issuer):
    for _ in range(40):
        issuer.revoke(issuer.issue(terms(), NOW).claims.lic_id, "x" * 200, NOW)
    large = issuer.issue(terms(models=[f"{'m' * 90}{each}" for each in range(300)]), NOW)
    small = issuer.issue(terms(), NOW)
    assert [block.kind for block in read_blocks(issuer.response(large, NOW))] == [Kind.KEYRING, Kind.LICENSE]
    assert len(read_blocks(issuer.response(small, NOW))) == 3


# Binding


def test_requests_become_what_a_licence_is_bound_to(installs: list[InstallIdentity]):
    requests = [request_of(install) for install in installs]
    site = binding_of("site", [*requests, requests[0]])
    assert site.installs == tuple(install.install_id for install in installs)
    host = binding_of("host", requests[:1])
    assert (host.installs, host.min_match, host.factors) == (
        (installs[0].install_id,), 2, installs[0].hashed(FACTORS),
    )  # fmt: skip
    assert binding_of("host", [request_of(installs[0], {"machine-id": ("a",), "dmi-uuid": ("b",)})]).min_match == 1
    assert binding_of("none", []) == Binding(mode="none")


def test_bindings_that_no_install_could_keep_are_refused(installs: list[InstallIdentity]):
    one = request_of(installs[0])
    with pytest.raises(IssuerError, match="onsight license request"):
        binding_of("site", [])
    with pytest.raises(IssuerError, match="holds anywhere"):
        binding_of("none", [one])
    with pytest.raises(IssuerError, match="found 2 install"):
        binding_of("host", [one, request_of(installs[1])])
    with pytest.raises(IssuerError, match="machine-id"):
        binding_of("host", [request_of(installs[0], {"machine-id": ("a",)})])
    with pytest.raises(IssuerError, match="from 1 to 2 kinds"):
        binding_of("host", [one], 3)
    with pytest.raises(IssuerError, match="Leave it out"):
        binding_of("site", [one], 1)


# Transfer


def test_a_released_licence_moves_to_the_install_that_asks(issuer: Issuer, installs: list[InstallIdentity]):
    old, stays, new = installs
    made = issuer.issue(terms(binding_of("site", [request_of(old), request_of(stays)])), NOW)
    release = read_release(make_release(old, made.issuer, made.claims.lic_id, NOW).encode())
    moved = issuer.transfer(release, request_of(new), NOW)
    assert (moved.claims.lic_id, moved.claims.seq) == (made.claims.lic_id, 2)
    assert moved.claims.binding.installs == (new.install_id, stays.install_id)
    assert moved.claims.exp == made.claims.exp


def test_a_host_licence_moves_to_the_new_hosts_facts(issuer: Issuer, installs: list[InstallIdentity]):
    old, new, _ = installs
    made = issuer.issue(terms(binding_of("host", [request_of(old)])), NOW)
    release = read_release(make_release(old, made.issuer, made.claims.lic_id, NOW).encode())
    other = {"machine-id": ("x",), "gpu-uuid": ("y",)}
    binding = issuer.transfer(release, request_of(new, other), NOW).claims.binding
    assert (binding.installs, binding.min_match, binding.factors) == ((new.install_id,), 1, new.hashed(other))


def test_a_release_is_good_for_one_move(issuer: Issuer, installs: list[InstallIdentity]):
    old, new, third = installs
    made = issuer.issue(terms(binding_of("site", [request_of(old)])), NOW)
    lic_id = made.claims.lic_id
    there = read_release(make_release(old, made.issuer, lic_id, NOW).encode())
    issuer.transfer(there, request_of(new), NOW)
    later = NOW + timedelta(days=1)
    issuer.transfer(read_release(make_release(new, made.issuer, lic_id, later).encode()), request_of(old), later)
    with pytest.raises(IssuerError, match="moved the licence before"):  # though it is the holder again
        issuer.transfer(there, request_of(third), later)
    assert issuer.entries[0].claims.binding.installs == (old.install_id,)


def test_only_the_install_that_holds_a_licence_can_release_it(issuer: Issuer, installs: list[InstallIdentity]):
    holder, stranger, new = installs
    made = issuer.issue(terms(binding_of("site", [request_of(holder)])), NOW)
    theirs = read_release(make_release(stranger, made.issuer, made.claims.lic_id, NOW).encode())
    with pytest.raises(LicenseError, match="expected one by an install that holds the licence") as refused:
        issuer.transfer(theirs, request_of(new), NOW)
    assert refused.value.code == "LICENSE_HOST_MISMATCH"
    document = theirs.model_copy(update={"install_id": holder.install_id})
    with pytest.raises(LicenseError, match="has signed") as refused:
        read_release(seal(Kind.RELEASE, document, stranger.sign_key).to_bytes())
    assert refused.value.code == "LICENSE_HOST_MISMATCH"
    document = document.model_copy(update={"sign_public": holder.public_key.raw.hex()})
    with pytest.raises(LicenseError) as refused:
        read_release(seal(Kind.RELEASE, document, stranger.sign_key).to_bytes())
    assert refused.value.code == "LICENSE_BAD_SIGNATURE"
    assert issuer.entries[0].claims.seq == 1


def test_a_release_that_makes_no_sense_moves_nothing(issuer: Issuer, installs: list[InstallIdentity]):
    holder, other, new = installs
    made = issuer.issue(terms(binding_of("site", [request_of(holder), request_of(other)])), NOW)
    anywhere = issuer.issue(terms(), NOW)

    def release(issuer_id: str, lic_id: str) -> object:
        document = read_release(make_release(holder, issuer_id, lic_id, NOW).encode())
        return issuer.transfer(document, request_of(other if lic_id == made.claims.lic_id else new), NOW)

    for issuer_id, lic_id, match in (
        ("0" * 32, made.claims.lic_id, "Give it to that issuer"),
        (made.issuer, "lic-none", "license list"),
        (made.issuer, anywhere.claims.lic_id, "binding none"),
        (made.issuer, made.claims.lic_id, "which does"),
    ):
        with pytest.raises((IssuerError, LicenseError), match=match):
            release(issuer_id, lic_id)
    assert [entry.claims.seq for entry in issuer.entries] == [1, 1]


# Revoking


def test_a_revoked_licence_is_on_the_list_in_every_response_and_goes_on_no_more(
    issuer: Issuer, installs: list[InstallIdentity]
):
    made = issuer.issue(terms(binding_of("site", [request_of(installs[0])])), NOW)
    other = issuer.issue(terms(), NOW)
    assert len(read_blocks(issuer.response(other, NOW))) == 2
    first = issuer.revoke(made.claims.lic_id, "not paid", NOW)
    assert (first.document.seq, first.reason(made.claims.lic_id), first.reason(other.claims.lic_id)) == (
        1, "not paid", None,
    )  # fmt: skip
    blocks = read_blocks(issuer.response(other, NOW))
    assert open_revocations(blocks[2], KeyRing.open(blocks[0])) == first
    assert issuer.revocations(NOW).document.seq == 2
    with pytest.raises(IssuerError, match="not paid"):
        issuer.renew(made.claims.lic_id, NOW)
    release = read_release(make_release(installs[0], made.issuer, made.claims.lic_id, NOW).encode())
    with pytest.raises(IssuerError, match="not paid"):
        issuer.transfer(release, request_of(installs[1]), NOW)
    with pytest.raises(IssuerError, match="reason"):
        issuer.revoke(other.claims.lic_id, "a\nb", NOW)


@pytest.mark.parametrize("is_old", [True, False])
def test_a_list_that_was_lost_or_is_an_old_one_is_signed_again_with_a_number_of_its_own(issuer: Issuer, is_old: bool):
    made = issuer.issue(terms(), NOW)
    first = issuer.revocations(NOW)
    issuer.revoke(issuer.issue(terms(), NOW).claims.lic_id, "moved", NOW)
    (issuer.folder.path / "revocations.txt").write_bytes(first.sealed.to_bytes() if is_old else b"half a li")
    for _ in range(2):
        ring, _, block = read_blocks(issuer.response(made, NOW))
        again = open_revocations(block, KeyRing.open(ring)).document
        assert (again.seq, list(again.revoked.values())) == (3, ["moved"])


# Key rings


def test_keys_overlap_when_they_are_rotated(issuer: Issuer):
    before = issuer.issue(terms(), NOW)
    old_key = SigningKey.load(key_path(issuer))
    ring = issuer.rotate("licence", NOW, overlap_days=90)
    after = issuer.issue(terms(), NOW)
    assert ring.seq == issuer.ring.seq == 2
    assert after.sealed.kid != before.sealed.kid
    for made in (before, after, by_thief(old_key, before, iat=NOW + timedelta(days=90))):
        open_license(made.sealed, ring)
    with pytest.raises(LicenseError) as refused:
        open_license(by_thief(old_key, before, iat=NOW + timedelta(days=91)).sealed, ring)
    assert refused.value.code == "LICENSE_UNKNOWN_KEY"


def test_an_overlap_never_gives_a_key_more_time_than_it_had(issuer: Issuer):
    ends = [key.not_after for key in issuer.ring.document.keys if key.use == "licence"]
    ring = issuer.rotate("licence", NOW + 4 * YEAR, overlap_days=3650)
    assert [key.not_after for key in ring.document.keys if key.use == "licence"][:1] == ends


def test_after_a_theft_old_licences_go_on_and_what_the_thief_signs_is_refused(issuer: Issuer):
    made = issuer.issue(terms(), NOW)
    renewed = issuer.renew(made.claims.lic_id, NOW)
    gone = issuer.issue(terms(), NOW)
    issuer.revoke(gone.claims.lic_id, "not paid", NOW)
    key, old_ring = SigningKey.load(key_path(issuer)), issuer.ring
    forged = [
        by_thief(key, made, lic_id="lic-forged"),
        by_thief(key, made, seq=3, exp=None),
        by_thief(key, made, iat=NOW - timedelta(hours=1), exp=None),
    ]
    for each in forged:
        open_license(each.sealed, old_ring)  # which shows that the ring alone stands in the way
    ring = issuer.rotate("licence", NOW, compromised=True)
    for each in (made, renewed, issuer.issue(terms(), NOW), issuer.renew(made.claims.lic_id, NOW)):
        open_license(each.sealed, ring)
    for each in [*forged, gone]:
        with pytest.raises(LicenseError) as refused:
            open_license(each.sealed, ring)
        assert refused.value.code == "LICENSE_REVOKED"


def test_a_stolen_key_for_lists_makes_a_new_list_and_the_thiefs_counts_no_longer(issuer: Issuer):
    made, gone = issuer.issue(terms(), NOW), issuer.issue(terms(), NOW)
    first = issuer.revoke(gone.claims.lic_id, "not paid", NOW)
    ring = issuer.rotate("crl", NOW, compromised=True)
    with pytest.raises(LicenseError) as refused:
        open_revocations(first.sealed, ring)
    assert refused.value.code == "LICENSE_REVOKED"
    blocks = read_blocks(issuer.response(made, NOW))
    assert open_revocations(blocks[2], ring).document.seq == 2


def test_an_install_that_believed_the_thief_is_put_right_by_the_next_ring(issuer: Issuer, tmp_path: Path):
    store = LicenseStore(tmp_path / "customer")
    made, gone = issuer.issue(terms(), NOW), issuer.issue(terms(), NOW)
    files = [issuer.response(each, NOW) for each in (made, gone)]
    for file in files:
        store.write(store.check(file))
    forged = by_thief(SigningKey.load(key_path(issuer)), made, seq=2, exp=None)
    nothing = RevocationDocument(issuer=made.issuer, seq=1_000_000, iat=NOW, revoked={})
    by_thief_too = seal(Kind.REVOCATIONS, nothing, SigningKey.load(key_path(issuer, "crl")))
    store.write(store.check(forged.sealed.to_bytes() + by_thief_too.to_bytes()))
    held = store.read()
    assert held.licenses[made.issuer, made.claims.lic_id] == [forged, made]
    assert held.revocations[made.issuer].document == nothing

    issuer.rotate("licence", NOW, compromised=True)
    ring = issuer.rotate("crl", NOW, compromised=True)
    revoked = issuer.revoke(gone.claims.lic_id, "not paid", NOW)
    store.write(store.check(ring.sealed.to_bytes() + revoked.sealed.to_bytes()))
    held = store.read()
    assert held.licenses[made.issuer, made.claims.lic_id] == [made]
    assert held.revocations == {made.issuer: revoked}
    assert {problem.error.code for problem in held.problems} == {"LICENSE_REVOKED"}
    store.write(store.check(files[0]))  # with the ring of before, which comes too late
    assert store.read().rings[made.issuer].seq == 3
    with pytest.raises(LicenseError) as refused:
        store.check(files[0] + forged.sealed.to_bytes())
    assert refused.value.code == "LICENSE_REVOKED"


def test_with_the_roots_in_a_safe_all_goes_on_but_new_rings(issuer: Issuer, tmp_path: Path):
    one, two = put_roots_away(issuer, tmp_path / "safe")
    made = issuer.issue(terms(), NOW)
    issuer.revoke(issuer.renew(made.claims.lic_id, NOW).claims.lic_id, "not paid", NOW)
    before = {path.name for path in issuer.folder.path.iterdir()}
    root_ids = {SigningKey.load(path).public_key.key_id for path in (one, two)}
    with pytest.raises(IssuerError) as refused:
        issuer.rotate("licence", NOW)
    assert "found 0 of 2" in str(refused.value)
    assert all(key_id in str(refused.value) for key_id in root_ids)
    with pytest.raises(IssuerError, match="found 1 of 2") as refused:
        issuer.rotate("licence", NOW, roots=[one])
    assert SigningKey.load(two).public_key.key_id in str(refused.value)
    assert {path.name for path in issuer.folder.path.iterdir()} == before
    assert issuer.rotate("licence", NOW, roots=[two, one]).seq == 2


def test_a_root_of_another_issuer_is_refused(issuer: Issuer, tmp_path: Path):
    _, two = put_roots_away(issuer, tmp_path / "safe")
    other = Issuer.create(tmp_path / "other", "Other", NOW)
    with pytest.raises(IssuerError, match="expected one of the root keys"):
        issuer.rotate("licence", NOW, roots=[other.folder.path / ROOT_NAMES[0], two])
    assert issuer.ring.seq == 1


def test_bundle_keys_are_in_the_ring_and_their_private_halves_nowhere(tmp_path: Path):
    first, second, third = (SigningKey.generate().public_key for _ in range(3))
    issuer = Issuer.create(tmp_path / "issuer", None, NOW, [first, first])
    assert issuer.ring.name == f"issuer {issuer.ring.issuer[:8]}"
    issuer.add_bundle_key(second, NOW)
    with pytest.raises(IssuerError, match="which it holds"):
        issuer.add_bundle_key(second, NOW)
    with pytest.raises(IssuerError, match="use bundle"):
        issuer.rotate("bundle", NOW)
    ring = issuer.rotate("bundle", NOW, compromised=True, bundle_key=third)
    keys = {key.key_id: key.revoked for key in ring.document.keys if key.use == "bundle"}
    assert keys == {first.key_id: True, second.key_id: True, third.key_id: False}
    assert sorted(path.name.split("-")[0] for path in issuer.folder.path.glob("*.pem")) == [
        "crl", "licence", "root", "root",
    ]  # fmt: skip


def test_a_key_that_has_run_out_says_what_to_do(issuer: Issuer):
    with pytest.raises(IssuerError, match="keyring rotate licence"):
        issuer.issue(terms(exp=None), NOW + 6 * YEAR)
    issuer.rotate("licence", NOW + 6 * YEAR)
    open_license(issuer.issue(terms(exp=None), NOW + 6 * YEAR).sealed, issuer.ring)


def test_a_ring_that_would_have_to_name_too_many_licences_is_refused_with_what_to_do():
    keys = [SigningKey.generate() for _ in range(3)]
    allowed = {f"lic-{each:010}": [f"{each:032x}"] for each in range(500)}
    entry = ring_key("licence", keys[2].public_key, NOW)
    few = stolen(entry, dict(list(allowed.items())[:400]))
    assert len(first_ring("Maker", keys[:2], [few], NOW).document.keys[0].allowed) == 400
    with pytest.raises(IssuerError, match="Revoke those that are in use no longer"):
        first_ring("Maker", keys[:2], [stolen(entry, allowed)], NOW)


# Damage


@pytest.mark.parametrize("name", ["issued.json", "keyring.txt"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"[" * 9000, b"\xff"], ids=str)
def test_a_damaged_or_missing_register_or_ring_is_told_of_and_left_alone(
    issuer: Issuer, name: str, content: bytes | None
):
    made = issuer.issue(terms(), NOW)
    path = issuer.folder.path / name
    path.unlink() if content is None else path.write_bytes(content)
    before = {each.name: each.read_bytes() for each in issuer.folder.path.iterdir()}
    for action in (
        lambda: Issuer.load(issuer.folder.path),
        lambda: issuer.issue(terms(), NOW),
        lambda: issuer.revoke(made.claims.lic_id, "not paid", NOW),
        lambda: issuer.rotate("licence", NOW, compromised=True),
    ):
        with pytest.raises(IssuerError, match=r"Restore the file from a backup"):
            action()
    assert {each.name: each.read_bytes() for each in issuer.folder.path.iterdir()} == before


def test_an_older_ring_from_a_backup_is_noticed(issuer: Issuer):
    path = issuer.folder.path / "keyring.txt"
    first = path.read_bytes()
    issuer.rotate("licence", NOW, compromised=True)
    second = path.read_bytes()
    path.write_bytes(first)
    with pytest.raises(IssuerError, match="expected key ring 2 or a later one"):
        issuer.issue(terms(), NOW)
    path.write_bytes(second)
    assert issuer.issue(terms(), NOW).claims.seq == 1


def test_a_rotation_that_broke_off_before_the_register_was_written_is_no_obstacle(issuer: Issuer):
    register = (issuer.folder.path / "issued.json").read_bytes()
    issuer.rotate("licence", NOW)
    (issuer.folder.path / "issued.json").write_bytes(register)
    open_license(issuer.issue(terms(), NOW).sealed, issuer.ring)
    assert issuer.rotate("licence", NOW).seq == 3


def test_a_missing_or_foreign_licence_key_signs_nothing(issuer: Issuer):
    path = key_path(issuer)
    kept = path.read_bytes()
    path.unlink()
    with pytest.raises(KeyFileError, match=path.name):
        issuer.issue(terms(), NOW)
    SigningKey.generate().save(path)
    with pytest.raises(IssuerError, match="Restore it from a backup"):
        issuer.issue(terms(), NOW)
    assert issuer.entries == ()
    path.write_bytes(kept)
    issuer.issue(terms(), NOW)


def test_an_issuer_that_is_not_there_is_told_of(tmp_path: Path):
    with pytest.raises(IssuerError, match="keyring init"):
        Issuer.load(tmp_path / "issuer")
