"""onsight license issue, list, crl issue, keyring: an issuer's day, through the command line."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from onsight_process import Finished, Onsight
from tiny_runs import TinyRun

from bundle.home import OnsightHome
from bundle.keys import SigningKey
from licenses.claims import Claims, time_of
from licenses.envelope import Kind, read_blocks
from licenses.errors import LicenseError
from licenses.identity import InstallIdentity
from licenses.issuer import Issuer
from licenses.keyring import KeyRing
from licenses.license import open_license
from licenses.register import ROOT_NAMES
from licenses.request import make_release, make_request
from licenses.revocation import open_revocations
from licenses.store import LicenseStore
from onsight.issuing import keep, license_demand

Issue = Callable[..., Claims]


@pytest.fixture
def customers(tmp_path: Path) -> dict[str, InstallIdentity]:
    """Two installs, and their requests in one.txt and two.txt."""
    found = {name: InstallIdentity.load_or_create(tmp_path / name) for name in ("one", "two")}
    for name, install in found.items():
        text = make_request(install, name, {"machine-id": ("a",), "dmi-uuid": ("b",)}, datetime.now(UTC))
        (tmp_path / f"{name}.txt").write_text(text)
    return found


@pytest.fixture
def issue(onsight: Onsight, tmp_path: Path) -> Issue:
    """Run `onsight license issue ... --out x.lic` and give what the file says, opened as an install would."""

    def run(*arguments: object) -> Claims:
        done = onsight("license", "issue", *arguments, "--out", "x.lic")
        assert done.code == 0, done.stderr
        return opened(tmp_path / "x.lic")

    return run


def opened(path: Path) -> Claims:
    ring, block, *_ = read_blocks(path.read_bytes())
    return open_license(block, KeyRing.open(ring)).claims


def day(claims: Claims) -> str:
    assert claims.exp is not None
    return f"{claims.exp:%Y-%m-%d %H:%M}"


def test_a_request_becomes_a_site_licence_and_the_install_an_issuer(
    issue: Issue, home: OnsightHome, customers: dict[str, InstallIdentity]
):
    assert not home.issuer_dir.exists()
    claims = issue("--for", "one.txt", "--for", "two.txt", "--licensee", "ACME")
    assert (claims.licensee, claims.models, claims.actions, claims.exp) == ("ACME", ("*",), ("serve",), None)
    assert claims.binding.mode == "site"
    assert claims.binding.installs == tuple(install.install_id for install in customers.values())
    own, theirs = Issuer.load(home.issuer_dir).entries
    identity = InstallIdentity.load(home.licenses_dir)
    assert identity is not None
    assert own.claims.binding.installs == (identity.install_id,)
    assert (own.claims.exp, len(own.claims.actions), theirs.claims) == (None, 4, claims)
    held = LicenseStore(home.licenses_dir).read()
    assert [license_.claims for (license_,) in held.licenses.values()] == [own.claims]
    bundle_keys = [key.public_key for key in Issuer.load(home.issuer_dir).ring.document.keys if key.use == "bundle"]
    assert bundle_keys == [SigningKey.load(home.signing_key_path).public_key]


def test_every_option_stands_in_the_licence(issue: Issue, customers: dict[str, InstallIdentity]):
    claims = issue(
        "--for", "one.txt", "--licensee", "ACME", "--model", "trash", "--model", "cards", "--action", "export",
        "--action", "serve", "--until", "2999-05-01", "--grace-days", 0, "--on-expiry", "stop", "--bind", "host",
        "--min-match", 1, "--edition", "gold", "--maintenance-until", "2999-01-01", "--limit", "servers=2",
        "--limit", "gpus=0",
    )  # fmt: skip
    assert (claims.models, claims.actions, claims.edition) == (("trash", "cards"), ("export", "serve"), "gold")
    assert (day(claims), claims.grace_days, claims.on_expiry) == ("2999-05-01 23:59", 0, "stop")
    assert claims.maintenance_until == time_of("2999-01-01T23:59:59Z")
    assert (claims.limits.servers, claims.limits.gpus, claims.limits.concurrency) == (2, 0, None)
    assert (claims.binding.mode, claims.binding.min_match) == ("host", 1)
    assert claims.binding.factors == customers["one"].hashed({"machine-id": ("a",), "dmi-uuid": ("b",)})


def test_a_trial_ends_after_thirty_days_without_grace(issue: Issue, customers: dict[str, InstallIdentity]):
    claims = issue("--for", "one.txt", "--licensee", "ACME", "--trial")
    assert claims.exp == claims.iat + timedelta(days=30)
    assert (claims.grace_days, claims.on_expiry, claims.edition) == (0, "stop", "trial")


def test_a_renewal_goes_on_from_the_end_and_keeps_what_is_not_given(
    issue: Issue, customers: dict[str, InstallIdentity]
):
    first = issue("--for", "one.txt", "--licensee", "ACME", "--days", 30, "--limit", "servers=2", "--limit", "gpus=1")
    assert first.exp is not None
    second = issue("--renew", first.lic_id, "--days", 365, "--limit", "servers=any", "--for", "two.txt")
    assert (second.lic_id, second.seq, second.exp) == (first.lic_id, 2, first.exp + timedelta(days=365))
    assert (second.limits.servers, second.limits.gpus, second.licensee) == (None, 1, "ACME")
    assert second.binding.installs == tuple(install.install_id for install in customers.values())
    third = issue("--renew", first.lic_id, "--model", "trash")
    assert (third.exp, third.models, third.binding) == (second.exp, ("trash",), second.binding)


def test_a_licence_moves_with_its_release(
    issue: Issue, onsight: Onsight, home: OnsightHome, customers: dict[str, InstallIdentity], tmp_path: Path
):
    first = issue("--for", "one.txt", "--licensee", "ACME")
    issuer = Issuer.load(home.issuer_dir).ring.issuer
    for name in ("one", "two"):
        text = make_release(customers[name], issuer, first.lic_id, datetime.now(UTC))
        (tmp_path / f"by-{name}.txt").write_text(text)
    wrong = onsight("license", "issue", "--release", "by-two.txt", "--for", "two.txt")
    assert (wrong.code, wrong.stdout) == (22, "")
    assert "expected one by an install that holds the licence" in wrong.stderr
    moved = issue("--release", "by-one.txt", "--for", "two.txt")
    assert (moved.lic_id, moved.seq, moved.binding.installs) == (first.lic_id, 2, (customers["two"].install_id,))
    again = onsight("license", "issue", "--release", "by-one.txt", "--for", "one.txt")
    assert "moved the licence before" in again.error


def test_the_register_is_a_table_and_json(issue: Issue, onsight: Onsight, customers: dict[str, InstallIdentity]):
    made = issue("--for", "one.txt", "--licensee", "ACME", "--until", "2999-05-01")
    assert onsight("license", "crl", "issue", "--revoke", made.lic_id, "--reason", "not paid", "--out", "c").code == 0
    issue("--licensee", "Anyone", "--bind", "none")
    own, revoked, anyone = onsight("license", "list").stdout.splitlines()
    assert revoked.split() == [
        made.lic_id, "file", "1", "ACME", "*", "serve", "revoked:", "not", "paid", "site",
        customers["one"].install_id[:8],
    ]  # fmt: skip
    assert "for ever" in own
    assert anyone.split()[-3:] == ["for", "ever", "anywhere"]
    listed = onsight("license", "list", "--json").json
    assert [(each["lic_id"] == made.lic_id, each["revoked"]) for each in listed] == [
        (False, None), (True, "not paid"), (False, None),
    ]  # fmt: skip


def test_a_revocation_list_comes_alone_and_with_every_licence(
    issue: Issue, onsight: Onsight, home: OnsightHome, customers: dict[str, InstallIdentity], tmp_path: Path
):
    made = issue("--for", "one.txt", "--licensee", "ACME")
    done = onsight("license", "crl", "issue", "--revoke", made.lic_id, "--reason", "not paid", "--out", "crl.txt")
    assert (done.code, done.stderr) == (0, "revocation list 1: 1 licence(s)\n")
    ring, block = read_blocks((tmp_path / "crl.txt").read_bytes())
    assert open_revocations(block, KeyRing.open(ring)).reason(made.lic_id) == "not paid"
    assert [each.reason(made.lic_id) for each in LicenseStore(home.licenses_dir).read().revocations.values()] == [
        "not paid",
    ]  # fmt: skip
    issue("--for", "two.txt", "--licensee", "Other")
    assert read_blocks((tmp_path / "x.lic").read_bytes())[2] == block
    refused = onsight("license", "issue", "--renew", made.lic_id, "--days", 30)
    assert "not paid" in refused.error


def test_without_out_the_licence_is_what_stdout_gets(
    onsight: Onsight, customers: dict[str, InstallIdentity], tmp_path: Path
):
    done = onsight("license", "issue", "--for", "one.txt", "--licensee", "ACME")
    (tmp_path / "out.lic").write_text(done.stdout)
    assert opened(tmp_path / "out.lic").licensee == "ACME"
    as_json = onsight("license", "issue", "--for", "one.txt", "--licensee", "ACME", "--out", "y.lic", "--json").json
    assert as_json["lic_id"] == opened(tmp_path / "y.lic").lic_id


def test_a_key_that_ends_soon_or_has_signed_much_is_told_of(
    onsight: Onsight, home: OnsightHome, customers: dict[str, InstallIdentity]
):
    issuer = Issuer.create(home.issuer_dir, None, datetime.now(UTC) - timedelta(days=5 * 365 - 60))
    command = ("license", "issue", "--for", "one.txt", "--licensee", "ACME", "--out", "x.lic")
    first = onsight(*command).stderr
    assert "signs until" in first
    assert "files." not in first
    register, _ = issuer.folder.read()
    entry = issuer.entries[-1]
    issuer.folder.write_register(register.with_entry(entry.model_copy(update={"files": entry.files * 250})))
    assert "has signed 252 files" in onsight(*command).stderr
    onsight("license", "keyring", "rotate", "licence")
    assert "warning" not in onsight(*command).stderr


# Bundles in an issuer's name


def test_who_holds_a_licence_to_export_may_demand_one_in_the_issuers_name(
    onsight: Onsight, home: OnsightHome, tmp_path: Path
):
    office, build_host = home, OnsightHome(tmp_path / "build")
    now = datetime.now(UTC)
    issuer = license_demand(office, "trash", now).issuer
    assert license_demand(office, "cards", now).issuer == issuer == Issuer.load(office.issuer_dir).ring.issuer
    with pytest.raises(LicenseError) as refused:
        license_demand(build_host, "trash", now, issuer)
    assert refused.value.code == "LICENSE_MISSING"
    request = make_request(InstallIdentity.load_or_create(build_host.licenses_dir), "build", {}, now)
    (tmp_path / "request.txt").write_text(request)
    for action in ("serve", "export"):
        arguments = ("--for", "request.txt", "--licensee", "Build", "--model", "trash", "--action", action)
        assert onsight("license", "issue", *arguments, "--out", "x.lic", home=office).code == 0
        keep(build_host, (tmp_path / "x.lic").read_bytes())
        if action == "serve":
            with pytest.raises(LicenseError) as refused:
                license_demand(build_host, "trash", now, issuer)
            assert refused.value.code == "LICENSE_NOT_ENTITLED"
    assert license_demand(build_host, "trash", now, issuer).issuer == issuer
    with pytest.raises(LicenseError) as refused:
        license_demand(build_host, "cards", now, issuer)
    assert refused.value.code == "LICENSE_NOT_ENTITLED"
    assert not build_host.issuer_dir.exists()


@pytest.mark.slow
def test_an_exported_bundle_names_the_issuer_whose_licence_it_takes(
    onsight: Onsight, home: OnsightHome, single_run: TinyRun, tmp_path: Path
):
    done = onsight("export", single_run.run.folder, "--out", "m.onsight", "--license-required")
    assert done.code == 0, done.stderr
    issuer = Issuer.load(home.issuer_dir).ring.issuer
    with zipfile.ZipFile(tmp_path / "m.onsight") as bundle:
        assert json.loads(bundle.read("manifest.json"))["license"] == {"issuer": issuer}
    stranger = OnsightHome(tmp_path / "stranger")
    arguments = ("export", single_run.run.folder, "--out", "n.onsight", "--license-required", "--issuer", issuer)
    assert "expected a licence of issuer" in onsight(*arguments, home=stranger).error
    assert not (tmp_path / "n.onsight").exists()


# Wrong input


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ("--for one.txt", 2, "--licensee"),
        ("--licensee ACME", 1, "onsight license request"),
        ("--licensee ACME --bind none --for one.txt", 1, "holds anywhere"),
        ("--licensee ACME --for absent.txt", 1, "absent.txt"),
        ("--licensee ACME --for home", 1, "home"),
        ("--licensee ACME --for note.txt", 21, "note.txt: expected blocks"),
        ("--licensee ACME --for changed.txt", 21, "the file was changed"),
        ("--licensee ACME --for one.txt --days 3 --until 2999-01-01", 2, "--days and --until"),
        ("--licensee ACME --for one.txt --trial --days 3", 2, "--trial and --days"),
        ("--licensee ACME --for one.txt --trial --grace-days 0", 2, "--trial and --grace-days"),
        ("--licensee ACME --for one.txt --until soon", 2, "found 'soon'"),
        ("--licensee ACME --for one.txt --until 2001-01-01", 1, "expected a time after now"),
        ("--licensee ACME --for one.txt --limit seats=2", 2, "servers, gpus, loaded_models, concurrency"),
        ("--licensee ACME --for one.txt --limit servers=-2", 2, "servers=-2"),
        (f"--licensee ACME --for one.txt --limit servers={'9' * 5000}", 2, "and a number"),
        ("--licensee ACME --for one.txt --model ../x", 2, "models.0"),
        ("--licensee ACME --for one.txt --bind host --min-match 2", 1, "from 1 to 1 kinds"),
        ("--licensee ACME --for one.txt --out absent/x.lic", 2, "Make the folder first"),
        ("--licensee ACME --for one.txt --json", 2, "--out"),
        ("--renew lic-none --days 3", 1, "keyring init"),
        ("--renew lic-none --trial", 2, "--trial"),
        ("--renew lic-none --release r.txt", 2, "--renew and --release"),
        ("--release r.txt", 2, "expected one --for"),
        ("--release r.txt --for one.txt --days 3", 2, "--days"),
    ],
)  # fmt: skip
def test_what_makes_no_licence_is_told_of_and_makes_no_issuer(
    arguments: str, code: int, told: str, onsight: Onsight, home: OnsightHome, tmp_path: Path,
    customers: dict[str, InstallIdentity],
):  # fmt: skip
    (tmp_path / "note.txt").write_text("Dear issuer, please send us a licence.")
    mine, theirs = (read_blocks((tmp_path / name).read_bytes())[0] for name in ("one.txt", "two.txt"))
    changed = type(mine)(mine.kind, mine.kid, mine.payload, theirs.signature)
    (tmp_path / "changed.txt").write_bytes(changed.to_bytes())
    done = onsight("license", "issue", *arguments.split())
    assert (done.code, done.stdout) == (code, ""), done.stderr
    assert told in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert [entry for entry in read_entries(home) if entry.licensee == "ACME"] == []


def read_entries(home: OnsightHome) -> list[Claims]:
    return [entry.claims for entry in Issuer.load(home.issuer_dir).entries] if home.issuer_dir.exists() else []


def test_commands_of_an_issuer_say_where_there_is_none(onsight: Onsight):
    for command in ("license list", "license crl issue", "license keyring show", "license keyring rotate crl"):
        assert "onsight license keyring init" in onsight(*command.split()).error


def test_a_damaged_register_stops_the_issuer_and_stays_as_it_is(
    onsight: Onsight, home: OnsightHome, customers: dict[str, InstallIdentity]
):
    assert onsight("license", "keyring", "init").code == 0
    path = home.issuer_dir / "issued.json"
    path.write_bytes(path.read_bytes()[:-20])
    before = path.read_bytes()
    for command in (
        "issue --for one.txt --licensee ACME", "list", "crl issue", "keyring show", "keyring rotate licence",
        "keyring init",
    ):  # fmt: skip
        assert onsight("license", *command.split()).code == 1
    assert "Restore the file from a backup" in onsight("license", "list").error
    assert path.read_bytes() == before


# Key rings


def test_an_issuer_is_made_once_with_a_name(onsight: Onsight, home: OnsightHome):
    made = onsight("license", "keyring", "init", "--name", "Müller & Söhne")
    shown = onsight("license", "keyring", "show", "--json").json
    assert made.stdout == shown["issuer"] + "\n"
    assert (shown["name"], shown["seq"], shown["root_files"]) == ("Müller & Söhne", 1, list(ROOT_NAMES))
    assert sorted(key["use"] for key in shown["keys"]) == ["bundle", "crl", "licence"]
    assert "found one" in onsight("license", "keyring", "init").error
    assert onsight("license", "keyring", "show", "--json").json == shown
    text = onsight("license", "keyring", "show").stdout
    assert all(key["key_id"] in text for key in shown["keys"])


def test_a_name_that_no_ring_may_hold_makes_no_issuer(onsight: Onsight, home: OnsightHome):
    assert "name" in onsight("license", "keyring", "init", "--name", "").error
    assert not home.issuer_dir.exists()


def test_a_rotation_needs_the_roots_and_names_those_that_are_missing(
    onsight: Onsight, home: OnsightHome, issue: Issue, customers: dict[str, InstallIdentity], tmp_path: Path
):
    issue("--for", "one.txt", "--licensee", "ACME")
    safe = tmp_path / "safe"
    safe.mkdir()
    for name in ROOT_NAMES:
        (home.issuer_dir / name).rename(safe / name)
    issue("--for", "one.txt", "--licensee", "ACME")
    missing = SigningKey.load(safe / "root-2.pem").public_key.key_id
    assert missing in onsight("license", "keyring", "rotate", "licence", "--root", "safe/root-1.pem").error
    roots = [part for name in ROOT_NAMES for part in ("--root", f"safe/{name}")]
    done: Finished = onsight("license", "keyring", "rotate", "licence", "--compromised", *roots, "--out", "ring.txt")
    assert done.code == 0, done.stderr
    (block,) = read_blocks((tmp_path / "ring.txt").read_bytes())
    assert (block.kind, KeyRing.open(block).seq) == (Kind.KEYRING, 2)
    assert LicenseStore(home.licenses_dir).read().rings[KeyRing.open(block).issuer].seq == 2
    assert "revoked, 3 licences of it go on" in onsight("license", "keyring", "show").stdout
    ring, licence = read_blocks((tmp_path / "x.lic").read_bytes())
    assert open_license(licence, KeyRing.open(block)) == open_license(licence, KeyRing.open(ring))


def test_keys_of_bundles_come_from_files(onsight: Onsight, home: OnsightHome, tmp_path: Path):
    first, second = SigningKey.generate().public_key, SigningKey.generate().public_key
    first.save(tmp_path / "first.pem")
    second.save(tmp_path / "second.pem")
    onsight("license", "keyring", "init")
    assert onsight("license", "keyring", "add-bundle-key", "first.pem", "--out", "r").code == 0
    assert onsight("license", "keyring", "rotate", "bundle").code == 2
    assert onsight("license", "keyring", "rotate", "crl", "--bundle-key", "second.pem").code == 2
    done = onsight("license", "keyring", "rotate", "bundle", "--bundle-key", "second.pem", "--overlap-days", 1)
    assert KeyRing.open(read_blocks(done.stdout.encode())[0]).seq == 3
    shown = json.loads(onsight("license", "keyring", "show", "--json").stdout)
    ends = {key["key_id"]: key["not_after"] for key in shown["keys"] if key["use"] == "bundle"}
    assert len(ends) == 3
    assert ends[first.key_id] < ends[second.key_id]


def test_a_new_key_for_lists_brings_back_no_licence_that_was_revoked(
    onsight: Onsight, issue: Issue, tmp_path: Path
) -> None:
    claims = issue("--licensee", "ACME", "--bind", "none")
    customer = OnsightHome(tmp_path / "customer")
    onsight("license", "install", "x.lic", home=customer)
    onsight("license", "crl", "issue", "--revoke", claims.lic_id, "--reason", "contract ended", "--out", "list.txt")
    onsight("license", "crl", "install", "list.txt", home=customer)
    assert onsight("license", "status", home=customer).code == 25
    onsight("license", "keyring", "rotate", "crl", "--compromised", "--out", "ring.txt")
    onsight("license", "keyring", "show", "--out", "shown.txt")
    for name in ("ring.txt", "shown.txt"):
        assert onsight("license", "install", name, home=customer).code == 0
        told = onsight("license", "status", "--json", home=customer).json["licenses"]
        held = {each["name"]: each["state"] for each in told}
        assert held[claims.lic_id] == "LICENSE_REVOKED"
