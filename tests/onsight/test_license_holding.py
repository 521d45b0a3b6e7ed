"""onsight license install, status, verify, transfer, crl install, clock-reset: an install's day, by commands."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from onsight_process import Onsight
from vendor import Vendor

from bundle.home import OnsightHome
from bundle.keys import SigningKey
from bundle.trust import TrustStore
from licenses.binding import binding_of
from licenses.claims import Binding, RequestDocument
from licenses.identity import InstallIdentity
from licenses.request import make_request, read_release, read_request
from onsight.issuing import make_issuer

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
PAST = NOW - 400 * DAY  # when a licence that has ended was issued


@pytest.fixture
def vendor(tmp_path: Path) -> Vendor:
    return Vendor(tmp_path / "vendor", PAST)


@pytest.fixture
def asking(home: OnsightHome) -> RequestDocument:
    identity = InstallIdentity.load_or_create(home.licenses_dir)
    return read_request(make_request(identity, "line 3", {}, NOW).encode())


def test_request_install_status_in_words_and_json(
    onsight: Onsight, vendor: Vendor, tmp_path: Path, asking: RequestDocument
) -> None:
    made = vendor.issue(exp=NOW + 20 * DAY + DAY / 2, binding=binding_of("site", [asking]), models=["trash"])
    (tmp_path / "acme.lic").write_bytes(vendor.issuer.response(made, NOW))
    seen = onsight("license", "verify", "acme.lic")
    assert (seen.code, seen.stdout.split()[:2]) == (0, [made.claims.lic_id, "warning"])
    assert onsight("license", "status").stderr.startswith("No licence is installed.")
    done = onsight("license", "install", "acme.lic")
    assert done.code == 0, done.stderr
    assert f"installed  {made.claims.lic_id}  warning  until " in done.stdout
    told = onsight("license", "status")
    assert told.code == 0
    assert "(20 days left)  ACME  serve: trash  by Maker" in told.stdout
    (one,) = onsight("license", "status", "--json").json["licenses"]
    assert (one["state"], one["days_left"], one["exit_code"], one["issuer"]) == ("warning", 20, 0, vendor.id)


def install_of_state(vendor: Vendor, state: str, asking: RequestDocument) -> bytes:
    """A file whose licence stands so now."""
    terms: dict[str, object] = {
        "grace": {"now": PAST, "exp": NOW - 10 * DAY},
        "expired-serve": {"now": PAST, "exp": NOW - 50 * DAY},
        "stopped": {"now": PAST, "exp": NOW - 50 * DAY, "on_expiry": "stop"},
        "not-yet-valid": {"begins": NOW + 10 * DAY},
    }[state]  # type: ignore[assignment]
    return vendor.issuer.response(vendor.issue(binding=binding_of("site", [asking]), **terms), NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "code"), [("grace", 10), ("expired-serve", 20), ("stopped", 20), ("not-yet-valid", 24)]
)
def test_the_exit_code_of_status_says_how_a_licence_stands(
    onsight: Onsight, vendor: Vendor, tmp_path: Path, asking: RequestDocument, state: str, code: int
) -> None:
    (tmp_path / "acme.lic").write_bytes(install_of_state(vendor, state, asking))
    assert onsight("license", "verify", "acme.lic").code == code
    assert onsight("license", "install", "acme.lic").code == 0, "it is installed all the same"
    ago = {"grace": "(10 days ago)", "not-yet-valid": "for ever"}.get(state, "(50 days ago)")
    assert ago in onsight("license", "status").stdout
    done = onsight("license", "status", "--json")
    assert (done.code, done.json["exit_code"], done.json["licenses"][0]["state"]) == (code, code, state)


def test_what_does_not_hold_is_refused_with_its_exit_code_and_leaves_what_is_there(
    onsight: Onsight, home: OnsightHome, vendor: Vendor, tmp_path: Path, asking: RequestDocument
) -> None:
    good = vendor.file(lic_id="lic-good", binding=binding_of("site", [asking]))
    (tmp_path / "good.lic").write_bytes(good)
    assert onsight("license", "install", "good.lic").code == 0
    before = sorted(home.licenses_dir.rglob("*"))
    revoked = vendor.issue()
    vendor.issuer.revoke(revoked.claims.lic_id, "contract ended", NOW)
    bad = {
        21: good.replace(b"END ONSIGHT LICENSE", b"END ONSIGHT"),
        22: vendor.file(binding=Binding(mode="site", installs=("f" * 32,))),
        25: vendor.issuer.response(revoked, NOW),
    }
    for code, data in bad.items():
        (tmp_path / "bad.lic").write_bytes(data)
        for command in ("install", "verify"):
            done = onsight("license", command, "bad.lic")
            assert done.code == code, done.stderr
    assert onsight("license", "install", "absent.lic").code == 1
    assert sorted(path for path in home.licenses_dir.rglob("*") if "clock" not in path.name) == [
        path for path in before if "clock" not in path.name
    ]
    assert onsight("license", "status").code == 0


def test_the_keys_that_an_issuer_signs_bundles_with_are_named_and_trusted_on_request(
    onsight: Onsight, home: OnsightHome, tmp_path: Path
) -> None:
    maker = OnsightHome(tmp_path / "maker")
    ring = make_issuer(maker, "ACME Vision", NOW).ring
    key = SigningKey.load(maker.signing_key_path).public_key
    (tmp_path / "ring.txt").write_bytes(ring.sealed.to_bytes())
    told = onsight("license", "install", "ring.txt")
    assert f"ACME Vision signs bundles with key {key.key_id}, which is not trusted here" in told.stderr
    assert key not in [each.public_key for each in TrustStore(home.trust_dir).list()]
    assert f"trusted    {key.key_id}  ACME Vision" in onsight("license", "install", "ring.txt", "--trust").stdout
    assert key in [each.public_key for each in TrustStore(home.trust_dir).list()]
    assert "trust" not in onsight("license", "install", "ring.txt").stderr


def test_a_licence_moves_from_one_install_to_another(
    onsight: Onsight, home: OnsightHome, vendor: Vendor, tmp_path: Path, asking: RequestDocument
) -> None:
    made = vendor.issue(binding=binding_of("site", [asking]))
    (tmp_path / "acme.lic").write_bytes(vendor.issuer.response(made, NOW))
    onsight("license", "install", "acme.lic")
    lic_id = made.claims.lic_id
    asked = onsight("license", "transfer", lic_id, "--out", "release.txt")  # nobody is there to say yes
    assert (asked.code, (tmp_path / "release.txt").exists()) == (1, False)
    assert onsight("license", "status").stdout.startswith(lic_id)
    done = onsight("license", "transfer", lic_id, "--out", "release.txt", "--yes")
    assert done.code == 0, done.stderr
    assert onsight("license", "status").stdout == ""
    assert onsight("license", "install", "acme.lic").code == 22, "given up is given up"
    other = OnsightHome(tmp_path / "other")
    new = InstallIdentity.load_or_create(other.licenses_dir)
    release = read_release((tmp_path / "release.txt").read_bytes())
    moved = vendor.issuer.transfer(release, read_request(make_request(new, "new", {}, NOW).encode()), NOW)
    (tmp_path / "moved.lic").write_bytes(vendor.issuer.response(moved, NOW))
    assert onsight("license", "install", "moved.lic").code == 22
    assert onsight("license", "install", "moved.lic", home=other).code == 0
    assert onsight("license", "transfer", lic_id, "--out", "again.txt", "--yes").code == 0, "the file may get lost"
    assert (tmp_path / "again.txt").read_bytes() == (tmp_path / "release.txt").read_bytes()
    assert onsight("license", "transfer", "lic-other", "--out", "x.txt", "--yes").code == 23


def test_no_release_is_given_out_where_the_licence_cannot_be_given_up(
    onsight: Onsight, home: OnsightHome, vendor: Vendor, tmp_path: Path, asking: RequestDocument
) -> None:
    made = vendor.issue(binding=binding_of("site", [asking]))
    (tmp_path / "acme.lic").write_bytes(vendor.issuer.response(made, NOW))
    onsight("license", "install", "acme.lic")
    (home.licenses_dir / "released").write_text("a file where the folder should be")
    done = onsight("license", "transfer", made.claims.lic_id, "--out", "release.txt", "--yes")
    assert (done.code, (tmp_path / "release.txt").exists()) == (1, False)
    assert onsight("license", "status").stdout.startswith(made.claims.lic_id)


def test_a_file_from_the_future_is_warned_of(onsight: Onsight, tmp_path: Path) -> None:
    ahead = Vendor(tmp_path / "ahead", NOW + 50 * DAY)
    (tmp_path / "ahead.lic").write_bytes(ahead.file())
    done = onsight("license", "install", "ahead.lic")
    assert done.code == 0
    assert "ahead.lic is dated 49 days after this host's clock" in done.stderr
    (tmp_path / "today.lic").write_bytes(Vendor(tmp_path / "today", NOW).file())
    assert "warning" not in onsight("license", "install", "today.lic").stderr


def test_a_licence_that_holds_anywhere_is_not_released(onsight: Onsight, vendor: Vendor, tmp_path: Path) -> None:
    (tmp_path / "acme.lic").write_bytes(vendor.file(lic_id="lic-anywhere"))
    onsight("license", "install", "acme.lic")
    assert "it holds anywhere" in onsight("license", "transfer", "lic-anywhere", "--out", "x.txt", "--yes").error


def test_a_revocation_list_by_itself(onsight: Onsight, vendor: Vendor, tmp_path: Path) -> None:
    made = vendor.issue()
    (tmp_path / "acme.lic").write_bytes(vendor.issuer.response(made, NOW))
    onsight("license", "install", "acme.lic")
    listed = vendor.issuer.revoke(made.claims.lic_id, "contract ended", NOW)
    (tmp_path / "revoked.txt").write_bytes(listed.sealed.to_bytes())
    assert onsight("license", "crl", "install", "acme.lic").code == 21
    done = onsight("license", "crl", "install", "revoked.txt")
    assert done.code == 0
    assert f"revoked    {made.claims.lic_id}: " in done.stdout
    assert "contract ended" in done.stdout
    told = onsight("license", "status")
    assert (told.code, "contract ended" in told.stdout) == (25, True)


def test_a_clock_that_lies_behind_is_told_of_and_a_wrong_mark_can_be_dropped(
    onsight: Onsight, home: OnsightHome, vendor: Vendor, tmp_path: Path
) -> None:
    (tmp_path / "acme.lic").write_bytes(vendor.file())
    onsight("license", "install", "acme.lic")
    mark = home.licenses_dir / "clock.json"
    mark.write_text(json.dumps({"mark": "2090-01-01T00:00:00Z"}))
    told = onsight("license", "status", "--json")
    assert (told.code, told.json["clock_behind_s"] > 86400, told.json["licenses"][0]["state"]) == (24, True, "ok")
    assert told.json["clock_code"] == "LICENSE_CLOCK_ROLLBACK"
    assert "onsight license clock-reset" in onsight("license", "status").stderr
    assert "2090-01-01" in onsight("license", "clock-reset").stderr
    assert onsight("license", "status").code == 0
    assert "2090-01-01" in (home.licenses_dir / "clock-resets.log").read_text()
