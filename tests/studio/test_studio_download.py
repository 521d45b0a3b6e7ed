"""Downloads of bundles: whole and in parts, under a licence where they demand one, and served elsewhere as they are."""

from __future__ import annotations

import base64
import hashlib
import json
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from onsight_server import onsight_serve
from sqlalchemy import select
from studio_rig import Workplace
from tiny_runs import TinyRun
from trained_models import shape_file, shelf_of
from vendor import Vendor
from werkzeug.test import TestResponse

from bundle.archive import read_archive
from bundle.home import OnsightHome
from bundle.keys import PublicKey, SigningKey
from bundle.manifest import LicenseDemand, parse_manifest
from bundle.pack import pack_bundle
from bundle.trust import TrustStore
from licenses.claims import Binding
from licenses.identity import InstallIdentity
from licenses.request import read_request
from studio.access.privileges import InstallRole, ProjectRole, Scope
from studio.database.tables import audit
from studio.jobs.folder import JobFolder
from studio.jobs.queue import State, find_job
from studio.predict.thresholds import save_thresholds

NOW = datetime.now(UTC)


def home_of(work: Workplace) -> OnsightHome:
    return OnsightHome(work.rig.parts.settings.home)


@pytest.fixture
def exported(work: Workplace, single_run: TinyRun, single_bundle: Path, maker_key: SigningKey) -> tuple[Workplace, str]:
    """A project, and the address of a finished export."""
    TrustStore(home_of(work).trust_dir).add(maker_key.public_key, "maker")
    training = shelf_of(work).add_trained(single_run)
    shelf_of(work).prepare(training, single_bundle)
    return work, f"{work.path}/exports/{shelf_of(work).add_exported(training, single_bundle)}"


def fetch(work: Workplace, address: str, **headers: str) -> TestResponse:
    """The answer, read to its end and closed: else the file stays open."""
    answer = work.caller.ask("GET", address, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer.get_data()
    answer.close()
    return answer


def demanding(bundle: Path, out: Path, key: SigningKey, issuer: str) -> Path:
    """The same bundle, but it demands a licence."""
    entries = read_archive(bundle)
    manifest = parse_manifest(entries.pop("manifest.json")).model_copy(update={"license": LicenseDemand(issuer=issuer)})
    entries.pop("manifest.sig")
    pack_bundle(out, manifest, entries, key)
    return out


def test_a_bundle_comes_whole_in_parts_and_only_when_it_changed(
    exported: tuple[Workplace, str], single_bundle: Path
) -> None:
    work, address = exported
    data = single_bundle.read_bytes()
    whole = fetch(work, f"{address}/file")
    assert (whole.status_code, whole.data) == (200, data)
    digest = hashlib.sha256(data).digest()
    assert whole.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(digest).decode()}:"
    assert whole.headers["ETag"] == f'"{digest.hex()}"'
    assert whole.headers["Content-Disposition"].endswith("shapes-1.onsight")
    assert whole.headers["Accept-Ranges"] == "bytes"
    part = fetch(work, f"{address}/file", Range="bytes=1000-", If_Range=whole.headers["ETag"])
    assert (part.status_code, part.data) == (206, data[1000:])
    assert part.headers["Content-Range"] == f"bytes 1000-{len(data) - 1}/{len(data)}"
    other = fetch(work, f"{address}/file", Range="bytes=1000-", If_Range='"another"')
    assert (other.status_code, other.data) == (200, data)
    beyond = {"headers": {"Range": f"bytes={len(data)}-"}}
    assert work.caller.refused("GET", f"{address}/file", **beyond) == (416, "RANGE_INVALID")
    same = fetch(work, f"{address}/file", If_None_Match=whole.headers["ETag"])
    assert (same.status_code, same.data) == (304, b"")
    with work.rig.parts.database.reading() as connection:
        told = list(connection.execute(select(audit).where(audit.c.action == "model.downloaded")))
    assert [row.details["sha256"] for row in told] == [digest.hex()] * 3  # all that left, and nothing that did not
    part_sent = f"bytes 1000-{len(data) - 1}/{len(data)}"
    assert [row.details.get("part") for row in sorted(told, key=lambda row: row.id)] == [None, part_sent, None]


def test_what_is_known_of_a_bundle_and_how_it_is_installed(
    exported: tuple[Workplace, str], single_bundle: Path, maker_key: SigningKey
) -> None:
    work, address = exported
    found = work.caller.get(address)
    data = single_bundle.read_bytes()
    assert (found["name"], found["version"], found["file_name"]) == ("shapes", "1", "shapes-1.onsight")
    assert (found["bytes"], found["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert [form["precision"] for form in found["forms"]] == ["fp32"]
    assert found["licence"] is None
    key = work.caller.ask("GET", f"{address}/key").data
    assert PublicKey.from_pem(key) == maker_key.public_key
    ids = [target["id"] for target in found["targets"]]
    assert ids == ["here", "linux-cpu", "linux-gpu", "docker", "air-gapped"]
    text = work.caller.ask("GET", f"{address}/instructions").text
    for target in found["targets"]:
        commands = [command for step in target["steps"] for command in step["commands"]]
        assert all(f"   {command}\n" in text for command in commands)
        assert any("trust add" in command for command in commands)
        assert any(found["sha256"] in command for command in commands)
        assert not any("license" in command for command in commands)


@pytest.mark.slow
def test_the_downloaded_bundle_answers_elsewhere_as_it_does_in_the_studio(
    exported: tuple[Workplace, str], single_run: TinyRun, tmp_path: Path
) -> None:
    work, address = exported
    models, home = tmp_path / "elsewhere" / "models", OnsightHome(tmp_path / "elsewhere" / "home")
    models.mkdir(parents=True)
    (models / "shapes.onsight").write_bytes(fetch(work, f"{address}/file").data)
    key = PublicKey.from_pem(work.caller.ask("GET", f"{address}/key").data)
    TrustStore(home.trust_dir).add(key, "maker")
    training = work.caller.get(address)["training"]
    image = shape_file("green", 3)
    raw = {"data": image, "content_type": "application/octet-stream"}
    (here,) = work.caller.post(f"{work.path}/models/{training}/predict", **raw)["results"]
    with onsight_serve(models, home.path, "--anonymous-loopback") as url:
        request = urllib.request.Request(
            f"{url}/v1/predict/default/shapes", image, {"Content-Type": "application/octet-stream"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            there = json.load(answer)
    assert (there["labels"], there["unknown"]) == (here["labels"], here["unknown"])
    assert {score["label"]: score["probability"] for score in there["scores"]} == pytest.approx(
        {score["label"]: score["probability"] for score in here["scores"]}, abs=1e-5
    )


def test_a_bundle_that_demands_a_licence_goes_where_one_allows_it(
    exported: tuple[Workplace, str], single_bundle: Path, maker_key: SigningKey, tmp_path: Path
) -> None:
    work, address = exported
    vendor = Vendor(tmp_path / "issuer", NOW - timedelta(days=100))
    bundle = demanding(single_bundle, tmp_path / "demanding.onsight", maker_key, vendor.id)
    training = work.caller.get(address)["training"]
    address = f"{work.path}/exports/{shelf_of(work).add_exported(training, bundle)}"
    admin = work.rig.somebody("admin", InstallRole.ADMIN)

    def licence() -> tuple[bool, str]:
        told = work.caller.get(address)["licence"]
        assert told["issuer"] == vendor.id
        assert bool(told["detail"]) is bool(told["code"])
        return told["may_download"], told["code"]

    assert work.caller.refused("GET", f"{address}/file") == (403, "LICENSE_MISSING")
    assert licence() == (False, "LICENSE_MISSING")
    steps = [step for target in work.caller.get(address)["targets"] for step in target["steps"]]
    assert sum("license request" in command for step in steps for command in step["commands"]) == 5

    def install(status: int = 200, **terms: Any) -> Any:
        file = vendor.file(**terms)
        return admin.post("/studio/v1/licenses", status=status, data=file, content_type="text/plain")

    install(lic_id="lic-serve", actions=["serve"])
    assert work.caller.refused("GET", f"{address}/file") == (403, "LICENSE_NOT_ENTITLED")
    install(lic_id="lic-other", actions=["download"], models=["others"])
    assert licence() == (False, "LICENSE_NOT_ENTITLED")
    ended = {"begins": NOW - timedelta(days=90), "exp": NOW - timedelta(days=60), "grace_days": 30}
    install(lic_id="lic-ended", actions=["download"], **ended)
    assert licence() == (False, "LICENSE_EXPIRED")
    held = install(lic_id="lic-good", actions=["serve", "download"], models=["shapes"])
    assert licence() == (True, "")
    assert fetch(work, f"{address}/file").data == bundle.read_bytes()
    by_name = {one["name"]: one for one in held["licenses"]}
    assert by_name["lic-good"]["state"] == "ok"
    assert by_name["lic-good"]["actions"] == ["serve", "download"]
    assert by_name["lic-ended"]["state"] == "expired-serve"


def test_licences_are_installed_checked_and_asked_for_by_admins(work: Workplace, tmp_path: Path) -> None:
    admin = work.rig.somebody("admin", InstallRole.ADMIN)
    assert admin.get("/studio/v1/licenses") == {"clock_behind_s": 0.0, "licenses": []}
    text = admin.ask("GET", "/studio/v1/licenses/request?name=Plant%204").text
    asked = read_request(text.encode())
    own = InstallIdentity.load(home_of(work).licenses_dir)
    assert own is not None
    assert (asked.name, asked.sign_public) == ("Plant 4", own.public_key.raw.hex())
    vendor = Vendor(tmp_path / "issuer", NOW - timedelta(days=1))
    elsewhere = vendor.file(binding=Binding(mode="site", installs=("0" * 32,)))
    for data, code in (
        (elsewhere, "LICENSE_HOST_MISMATCH"), (b"x", "LICENSE_MALFORMED"),
        (vendor.file().replace(b"A", b"B", 40), "LICENSE_"),
    ):  # fmt: skip
        status, found = admin.refused("POST", "/studio/v1/licenses", data=data, content_type="text/plain")
        assert status == 422
        assert found.startswith(code)
    assert admin.get("/studio/v1/licenses")["licenses"] == []
    (held,) = admin.post(
        "/studio/v1/licenses",
        data=vendor.file(binding=Binding(mode="site", installs=(own.install_id,))),
        content_type="text/plain",
    )["licenses"]
    assert (held["licensee"], held["state"], held["issuer"]) == ("ACME", "ok", vendor.id)


def test_only_a_finished_whole_bundle_is_handed_out(exported: tuple[Workplace, str], single_bundle: Path) -> None:
    work, address = exported
    training = work.caller.get(address)["training"]
    running = shelf_of(work).add_exported(training, single_bundle, state=State.RUNNING)
    assert work.caller.refused("GET", f"{work.path}/exports/{running}/file") == (409, "NOT_EXPORTED")
    assert work.caller.refused("GET", f"{work.path}/exports/{training}") == (404, "JOB_NOT_FOUND")
    job = address.rpartition("/")[2]
    path = JobFolder(work.rig.parts.settings.jobs_folder, job).bundle_path("model")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    for what in ("", "/file", "/key", "/instructions"):
        assert work.caller.refused("GET", f"{address}{what}") == (409, "NOT_EXPORTED")


def test_who_may_not_download_does_not(exported: tuple[Workplace, str]) -> None:
    work, address = exported
    work.rig.add_user("labeller")
    work.rig.share(work.project_id, "labeller", ProjectRole.LABELLER)
    labeller = work.rig.signed_in("labeller")
    assert labeller.refused("GET", f"{address}/file") == (403, "PRIVILEGE_MISSING")
    assert work.rig.somebody("stranger").refused("GET", f"{address}/file") == (404, "PROJECT_NOT_FOUND")
    assert work.rig.by_token(work.owner, Scope.READ).refused("GET", f"{address}/file") == (403, "SCOPE_MISSING")
    other = work.rig.workplace()
    foreign = f"{other.path}/exports/{address.rpartition('/')[2]}"
    assert other.caller.refused("GET", f"{foreign}/file") == (404, "JOB_NOT_FOUND")


def test_an_export_takes_the_saved_thresholds_along_unless_it_names_others(exported: tuple[Workplace, str]) -> None:
    work, address = exported
    training = work.caller.get(address)["training"]
    database = work.rig.parts.database
    wanted = {"training": training, "name": "shapes"}
    assert work.caller.post(f"{work.path}/exports", wanted, 201)["export"]["thresholds"] is None
    with database.writing() as connection:
        row = find_job(connection, work.project_id, training)
        save_thresholds(connection, row.id, "best", (0.5, 0.25, 1.0), None, work.rig.clock())
    state = work.caller.get(f"{work.path}/models/{training}/predict")
    saved = {one["label"]: one["threshold"] for one in state["models"][0]["labels"]}
    assert list(saved.values()) == [0.5, 0.25, 1.0]
    job = work.caller.post(f"{work.path}/exports", wanted, 201)
    assert job["export"]["thresholds"] == saved
    with database.reading() as connection:
        row = find_job(connection, work.project_id, job["id"])
    command = JobFolder(work.rig.parts.settings.jobs_folder, job["id"]).command(row)
    assert json.loads(Path(command[command.index("--thresholds") + 1]).read_text()) == saved
    others = work.caller.post(f"{work.path}/exports", {**wanted, "thresholds": {"blue": 0.1}}, 201)
    assert others["export"]["thresholds"] == {"blue": 0.1}
    last = work.caller.post(f"{work.path}/exports", {**wanted, "model": "last"}, 201)
    assert last["export"]["thresholds"] is None


def test_saved_thresholds_decide_on_every_way_of_asking(exported: tuple[Workplace, str]) -> None:
    work, address = exported
    training = work.caller.get(address)["training"]
    raw = {"data": shape_file("red", 3), "content_type": "application/octet-stream"}
    token = work.rig.by_token(work.owner, Scope.PREDICT)
    ways = [
        lambda: work.caller.post(f"{work.path}/models/{training}/predict", **raw)["results"][0],
        lambda: token.post(f"/v1/predict/{work.public_id}/{training}", **raw),
    ]
    assert all(way()["labels"] != [] for way in ways)
    with work.rig.parts.database.writing() as connection:
        row = find_job(connection, work.project_id, training)
        save_thresholds(connection, row.id, "best", (1.0, 1.0, 1.0), None, work.rig.clock())
    for way in ways:
        answer = way()
        assert answer["labels"] == []
        assert {score["threshold"] for score in answer["scores"]} == {1.0}
