"""Models that demand a licence: what serves, what is refused and what is remembered, by a gate whose word changes.

Over 400 lines, since fakes, real gates and a real server are asked the same questions by the same helpers.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from color_bundle import RED, make_bundle
from conftest import Serve
from running_server import Install
from vendor import Vendor
from vendor import install as keep_license

from bundle.archive import read_archive
from bundle.decode import ImageLimits
from bundle.errors import OnsightError
from bundle.manifest import LicenseDemand, parse_manifest
from bundle.pack import pack_bundle
from licenses.errors import IdentityError, LicenseError
from licenses.gate import LicenseGate, Usage
from licenses.holding import Holding
from server.engines.factory import EngineOptions, engine_factory
from server.hosting.gunicorn_app import OnsightApplication
from server.models.entitlement import CHECK_EVERY_S, Entitlement
from server.models.keeper import Keeper
from server.models.last_good import LastGoodStore
from server.models.registry import Phase, Registry
from server.settings import ServerSettings
from server.tokens import Scope, TokenStore

ISSUER = "0123456789abcdef" * 2
NOW = datetime.now(UTC)


def demanding(
    install: Install,
    file_name: str = "colours.onsight",
    name: str = "colours",
    version: str = "1",
    issuer: str = ISSUER,
    golden_shift: float = 0.0,
) -> Path:
    """A bundle that demands a licence."""
    path = make_bundle(install.models / file_name, install.key, name, version, golden_shift=golden_shift)
    entries = read_archive(path)
    manifest = parse_manifest(entries.pop("manifest.json")).model_copy(update={"license": LicenseDemand(issuer=issuer)})
    entries.pop("manifest.sig")
    pack_bundle(path, manifest, entries, install.key)
    return path


class ChangingGate:
    """Refuses all while `refused` says so; in grace, what is new."""

    def __init__(self) -> None:
        self.refused = False
        self.grace = False
        self.fault: Exception | None = None
        self.asked: list[tuple[str, str, bool]] = []
        self.used: list[Usage] = []
        self.held: tuple[Holding, ...] = ()
        self.clock_behind = timedelta()

    def require(self, action: str, *, issuer: str, model: str, new: bool, usage: Usage, made: datetime) -> None:
        assert action == "serve"
        self.asked.append((issuer, model, new))
        self.used.append(usage)
        if self.fault:
            raise self.fault
        if self.refused or (self.grace and new):
            raise LicenseError("LICENSE_EXPIRED", f"{model}: expected a licence that runs, found one that ended.")

    def holdings(self) -> tuple[Holding, ...]:
        if self.fault:
            raise self.fault
        return self.held


class Kept:
    """A keeper with that gate, and a clock that is set by hand."""

    def __init__(self, install: Install, gate: ChangingGate | None) -> None:
        self.now_s = 0.0
        self.usage = Usage()
        self.registry = Registry()
        home = install.home
        record = home.path / "serving" / "licensed.json"
        self.keeper = Keeper(
            install.models, home.trust_dir, self.registry, engine_factory(EngineOptions()), ImageLimits(),
            store=LastGoodStore(home.path, install.models), licenses_dir=home.licenses_dir,
            entitlement=Entitlement(
                gate, home.licenses_dir, record, usage=lambda: self.usage, now=lambda: self.now_s
            ),
        )  # fmt: skip

    @property
    def names(self) -> list[str]:
        return [model.manifest.name for model in self.registry.models]


def test_a_model_that_demands_nothing_is_never_asked_about_and_leaves_no_record(install: Install) -> None:
    install.add_bundle()
    gate = ChangingGate()
    kept = Kept(install, gate)
    kept.keeper.look()
    assert (kept.names, gate.asked) == (["colours"], [])
    assert not (install.home.path / "serving" / "licensed.json").exists()


def test_without_a_gate_what_demands_a_licence_is_set_aside_and_the_others_serve(install: Install) -> None:
    demanding(install)
    install.add_bundle("free.onsight", name="free")
    kept = Kept(install, None)
    kept.keeper.look()
    assert kept.names == ["free"]
    assert [failure.code for failure in kept.registry.failures] == ["LICENSE_MISSING"]
    with pytest.raises(LicenseError, match=ISSUER):
        kept.registry.lease(["default"], "colours")


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (
            IdentityError("/home/x/identity.json: expected this install's identity, found a damaged one."),
            IdentityError.code,
        ),
        (OSError(5, "Input/output error"), OnsightError.code),
        (OverflowError("date value out of range"), OnsightError.code),
    ],
    ids=["a damaged identity", "a disk that fails", "a fault of ours"],
)
def test_a_licence_that_cannot_be_judged_keeps_its_model_back_and_no_other(
    install: Install, fault: Exception, code: str
) -> None:
    demanding(install)
    install.add_bundle("free.onsight", name="free")
    gate = ChangingGate()
    gate.fault = fault
    kept = Kept(install, gate)
    kept.keeper.look()
    assert kept.names == ["free"]
    (failure,) = kept.registry.failures
    assert (failure.name, failure.code) == ("colours", code)
    assert "/home" not in failure.reason
    gate.fault = None
    kept.keeper.look(forced=True)
    assert kept.names == ["colours", "free"]


def test_a_licence_that_ends_stops_its_model_within_the_hour_and_one_that_is_renewed_starts_it(
    install: Install,
) -> None:
    demanding(install)
    gate = ChangingGate()
    kept = Kept(install, gate)
    kept.keeper.look()
    assert kept.names == ["colours"]
    gate.refused = True
    assert not kept.keeper.look()  # nothing is new, so nobody asks
    kept.now_s += CHECK_EVERY_S
    assert kept.keeper.look()
    assert (kept.names, kept.registry.phase) == ([], Phase.UNLICENSED)
    with pytest.raises(LicenseError) as refusal:
        kept.registry.lease(["default"], "colours")
    assert refusal.value.code == "LICENSE_EXPIRED"
    gate.refused = False
    install.home.licenses_dir.mkdir(exist_ok=True)
    (install.home.licenses_dir / "renewed.lic").write_text("a new file is news, without an hour")
    assert kept.keeper.look()
    assert kept.names == ["colours"]


def test_a_server_that_watches_no_folder_looks_at_licences_each_hour_and_at_nothing_else(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    demanding(install)
    settings = ServerSettings(home=install.home.path, models_dir=install.models, watch_interval_s=0)
    application = OnsightApplication(settings, TokenStore(install.home.tokens_path))
    gate, now_s = ChangingGate(), 0.0
    entitlement = Entitlement(gate, install.home.licenses_dir, install.home.path / "record", now=lambda: now_s)
    served: list[list[str]] = []

    def report(slot: int, digest: str, generation: int) -> None:
        nonlocal now_s
        served.append([model.manifest.name for model in application._registry.models])
        if len(served) == 2:
            raise InterruptedError
        now_s += CHECK_EVERY_S
        gate.refused = True
        install.add_bundle("free.onsight", name="free")

    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        assert len(slept) < 100, "the hour is over, and nobody looked"

    monkeypatch.setattr(application.board, "report_models", report)
    monkeypatch.setattr("server.hosting.gunicorn_app.time.sleep", sleep)
    with pytest.raises(InterruptedError):
        application._keep_models(entitlement)
    application._run_folder.remove()
    assert served == [["colours"], []]


def test_in_grace_what_served_goes_on_after_a_restart_too_and_nothing_new_begins(install: Install) -> None:
    demanding(install)
    gate = ChangingGate()
    Kept(install, gate).keeper.look()
    assert gate.asked == [(ISSUER, "colours", True)]
    gate.grace = True
    demanding(install, "other.onsight", name="other")
    demanding(install, "newer.onsight", version="2")
    restarted = Kept(install, gate)
    restarted.keeper.look()
    assert [(model.manifest.name, model.manifest.version) for model in restarted.registry.models] == [("colours", "1")]
    assert [failure.name for failure in restarted.registry.failures] == ["colours", "other"]


def test_what_the_gate_itself_writes_is_no_news(install: Install) -> None:
    install.home.licenses_dir.mkdir()
    entitlement = Entitlement(ChangingGate(), install.home.licenses_dir, install.home.path / "record")
    before = entitlement.moment
    (install.home.licenses_dir / "clock.json").write_text("{}")
    assert entitlement.moment == before


def test_a_licence_file_that_is_changed_where_it_lies_is_news(install: Install) -> None:
    folder = install.home.licenses_dir / "installed"
    folder.mkdir(parents=True)
    (folder / "acme.txt").write_text("one")
    entitlement = Entitlement(ChangingGate(), install.home.licenses_dir, install.home.path / "record")
    before = entitlement.moment
    (folder / "acme.txt").write_text("another")
    assert entitlement.moment != before


def test_a_home_that_cannot_be_written_stops_nothing(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    (install.home.path / "file").write_text("not a folder")
    Entitlement(ChangingGate(), install.home.licenses_dir, install.home.path / "file" / "record").remember(["0" * 64])
    assert "licensed models not remembered" in caplog.text


def test_over_http_such_a_model_answers_403_with_its_code_and_health_and_admin_stay_up(
    install: Install, serve: Serve
) -> None:
    demanding(install)
    token = install.add_token("test")
    server = serve()
    ready = server.wait_for_status(503)
    while ready.json["status"] == "loading":
        ready = server.wait_for_status(503)
    assert ready.json["status"] == "unlicensed"
    assert server.ask("GET", "/health/live").status == 200
    for address in ("/api/predict/default/colours", "/v1/predict/default/colours", "/v1/predict/default/colours?top=1"):
        reply = server.ask("POST", address, RED, token)
        assert (reply.status, reply.json["code"]) == (403, "LICENSE_MISSING")
        assert ISSUER in reply.json["detail"]
    assert server.ask("GET", "/v1/models", token=token).json["failed"][0]["code"] == "LICENSE_MISSING"


def test_a_renewal_is_warned_of_in_steps_once_and_by_one_process_of_a_server(
    install: Install, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    vendor = Vendor(tmp_path / "vendor", now)
    keep_license(install.home.licenses_dir, vendor.file(lic_id="lic-test", exp=now + timedelta(days=100)))
    days = 0.0
    record, announced = install.home.path / "record", tmp_path / "announced"
    announced.mkdir()

    def worker() -> Entitlement:
        gate = LicenseGate(install.home.licenses_dir, now=lambda: now + timedelta(days=days), monotonic=lambda: 0.0)
        return Entitlement(gate, install.home.licenses_dir, record, announced=announced)

    workers = [worker(), worker()]
    told: list[tuple[float, str, object]] = []
    for days in (0.0, 39.9, 40.0, 41.0, 70.0, 93.0, 99.0, 99.5, 100.0, 129.0, 130.0, 131.0):
        caplog.clear()
        for each in workers:
            each.begin_look()
        told += [(days, record_.state, record_.days_left) for record_ in caplog.records]  # type: ignore[attr-defined]
    assert told == [
        (40.0, "warning", 60), (70.0, "warning", 30), (93.0, "warning", 7), (99.0, "warning", 1), (100.0, "grace", 0),
        (130.0, "expired-serve", -30),
    ]  # fmt: skip


def test_a_server_takes_the_place_of_one_that_ended_without_waiting_for_the_hour(
    install: Install, tmp_path: Path
) -> None:
    vendor = Vendor(tmp_path / "vendor", NOW)
    keep_license(install.home.licenses_dir, vendor.file(limits={"servers": 1}))
    demanding(install, issuer=vendor.id)
    kept = Kept(install, LicenseGate(install.home.licenses_dir))
    kept.usage = Usage(servers=2)
    kept.keeper.look()
    assert [failure.code for failure in kept.registry.failures] == ["LICENSE_LIMIT"]
    assert not kept.keeper.look()
    kept.usage = Usage(servers=1)
    kept.keeper.look()
    assert kept.names == ["colours"]


def test_each_file_of_a_licence_is_warned_of_and_of_two_issuers_each_one_s(
    install: Install, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    one, other = Vendor(tmp_path / "one", now), Vendor(tmp_path / "other", now)
    days = 0
    gate = LicenseGate(install.home.licenses_dir, now=lambda: now + timedelta(days=days), monotonic=lambda: 0.0)
    entitlement = Entitlement(gate, install.home.licenses_dir, install.home.path / "record")
    for seq, days in enumerate((0, 365), 1):
        made = one.file(seq=seq, lic_id="lic-test", exp=now + timedelta(days=days + 5))
        keep_license(install.home.licenses_dir, made)
        entitlement.begin_look()
    keep_license(install.home.licenses_dir, other.file(lic_id="lic-test", exp=now + timedelta(days=370)))
    entitlement.begin_look()
    assert [record.days_left for record in caplog.records] == [5, 5, 5]  # type: ignore[attr-defined]


def test_a_bad_file_is_told_of_by_one_process_of_a_server(
    install: Install, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    folder = install.home.licenses_dir / "installed"
    folder.mkdir(parents=True)
    (folder / "bad.txt").write_text("no licence")
    for _ in range(2):
        gate = LicenseGate(install.home.licenses_dir)
        Entitlement(gate, install.home.licenses_dir, install.home.path / "record", announced=tmp_path).begin_look()
    assert [record.message for record in caplog.records] == ["licence does not count"]


def test_a_limit_on_models_lets_the_first_ones_serve(install: Install, tmp_path: Path) -> None:
    vendor = Vendor(tmp_path / "vendor", NOW)
    keep_license(install.home.licenses_dir, vendor.file(limits={"loaded_models": 2}))
    for name in ("one", "two", "three"):
        demanding(install, f"{name}.onsight", name=name, issuer=vendor.id)
    kept = Kept(install, LicenseGate(install.home.licenses_dir))
    for _ in range(2):
        kept.keeper.look(forced=True)
        assert len(kept.names) == 2
        assert [failure.code for failure in kept.registry.failures] == ["LICENSE_LIMIT"]
    (install.models / "one.onsight").unlink()
    kept.keeper.look(forced=True)
    assert kept.names == ["three", "two"]


def test_a_real_server_takes_up_a_licence_tells_of_it_and_lets_go_when_it_is_revoked(
    install: Install, serve: Serve, tmp_path: Path
) -> None:
    vendor = Vendor(tmp_path / "vendor", NOW)
    demanding(install, issuer=vendor.id)
    token, admin = install.add_token("test"), install.add_token("admin", Scope.ADMIN)
    metrics = install.add_token("metrics", Scope.METRICS)
    server = serve(workers="2", watch_interval_s="0.1")
    ready = server.wait_for_status(503)
    while ready.json["status"] == "loading":
        ready = server.wait_for_status(503)
    assert "license" not in ready.json
    made = vendor.issue(exp=NOW + timedelta(days=20))
    keep_license(install.home.licenses_dir, vendor.issuer.response(made, NOW))
    server.wait_for_status(200)
    server.wait_for_workers(token)
    assert server.wait_for_status(200).json["license"] == "warning"
    assert server.ask("POST", "/v1/predict/default/colours", RED, token).status == 200
    (held,) = server.ask("GET", "/v1/licenses", token=admin).json["licenses"]
    assert (held["name"], held["state"], held["issuer"]) == (made.claims.lic_id, "warning", vendor.id)
    assert held["claims"]["licensee"] == "ACME"
    assert server.ask("GET", "/v1/licenses", token=token).status == 403
    text = server.ask("GET", "/metrics", token=metrics).body.decode()
    assert re.search(
        rf'onsight_license_state{{issuer="{vendor.id}",license="{held["name"]}",state="warning"}} 1.0', text
    )
    (left,) = re.findall(r"onsight_license_seconds_left\{.*\} (\S+)", text)
    assert 19 * 86400 < float(left) < 20 * 86400
    vendor.issuer.revoke(made.claims.lic_id, "contract ended", NOW)
    keep_license(install.home.licenses_dir, vendor.issuer.revocations(NOW).sealed.to_bytes())
    server.wait_for_status(503)
    end = time.monotonic() + 30
    while (reply := server.ask("POST", "/v1/predict/default/colours", RED, token)).status == 200:
        assert time.monotonic() < end  # a worker that has not looked yet
    assert (reply.status, reply.json["code"]) == (403, "LICENSE_REVOKED")
    assert "contract ended" in reply.json["detail"]
    assert server.log.count("licence to be renewed") == 1


def test_a_version_that_fails_to_load_takes_up_none_of_a_licence_s_models(install: Install, tmp_path: Path) -> None:
    vendor = Vendor(tmp_path / "vendor", NOW)
    keep_license(install.home.licenses_dir, vendor.file(limits={"loaded_models": 1}))
    demanding(install, issuer=vendor.id)
    kept = Kept(install, LicenseGate(install.home.licenses_dir))
    kept.keeper.look()
    demanding(install, "newer.onsight", version="2", issuer=vendor.id, golden_shift=0.4)
    kept.keeper.look(forced=True)
    assert [(model.manifest.name, model.manifest.version) for model in kept.registry.models] == [("colours", "1")]
    assert [failure.version for failure in kept.registry.failures] == ["2"]


def test_a_new_model_takes_no_other_one_s_place_under_a_limit_not_even_after_a_restart(
    install: Install, tmp_path: Path
) -> None:
    vendor = Vendor(tmp_path / "vendor", NOW)
    keep_license(install.home.licenses_dir, vendor.file(limits={"loaded_models": 1}))
    demanding(install, "second.onsight", name="second", issuer=vendor.id)
    gate = LicenseGate(install.home.licenses_dir)
    kept = Kept(install, gate)
    kept.keeper.look()
    demanding(install, "first.onsight", name="first", issuer=vendor.id)
    for each in (kept, Kept(install, gate)):
        each.keeper.look(forced=True)
        assert each.names == ["second"]
        assert [failure.name for failure in each.registry.failures] == ["first"]
