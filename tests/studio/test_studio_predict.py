"""Predictions of the studio: the same answers as the server's, for those who may, by sent, stored and many images."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from studio_rig import Caller, Rig, Workplace, picture, zipped
from tiny_runs import COLOURS, TinyRun
from trained_models import shape_file, shelf_of

from bundle.decode import DEFAULT_LIMITS
from bundle.home import OnsightHome
from bundle.keys import SigningKey
from bundle.load import load_bundle
from bundle.preprocess import preprocess
from bundle.trust import TrustStore
from server.engines.factory import EngineOptions, engine_factory
from server.models.loader import load_model
from server.models.model import ServedModel
from studio.access.privileges import ProjectRole, Scope
from studio.app import create_app
from studio.context import StudioContext
from studio.jobs.folder import JobFolder
from studio.jobs.queue import State
from studio.predict.access import MODELS
from studio.predict.names import model_name, version_of, wanted_of
from studio.predict.occlusion import occlusion_map


@pytest.fixture
def served(single_bundle: Path, maker_key: SigningKey, tmp_path: Path) -> ServedModel:
    """The bundle as `onsight serve` loads it."""
    trust = TrustStore(tmp_path / "trust")
    trust.add(maker_key.public_key, "maker")
    return load_model(load_bundle(single_bundle, trust), "p", "b", engine_factory(EngineOptions()), DEFAULT_LIMITS)


@pytest.fixture
def trained(work: Workplace, single_run: TinyRun, single_bundle: Path, maker_key: SigningKey) -> tuple[Workplace, str]:
    """A project with a training, whose best model's bundle is there."""
    trust(work, maker_key)
    training = shelf_of(work).add_trained(single_run, "Colours of 2026")
    shelf_of(work).prepare(training, single_bundle)
    return work, training


def trust(work: Workplace, key: SigningKey) -> None:
    TrustStore(OnsightHome(work.rig.parts.settings.home).trust_dir).add(key.public_key, "maker")


def ask(work: Workplace, training: str, data: bytes, query: str = "") -> dict[str, Any]:
    address = f"{work.path}/models/{training}/predict{query}"
    answer: dict[str, Any] = work.caller.post(address, data=data, content_type="application/octet-stream")
    return answer


def test_the_studio_answers_as_the_server_does_on_all_of_its_ways(
    trained: tuple[Workplace, str], served: ServedModel
) -> None:
    work, training = trained
    for number, colour in enumerate(COLOURS):
        image = shape_file(colour, 90 + number)
        decision = served.predict(image).decision
        scores = [(score.label, round(score.probability, 6)) for score in decision.scores]
        (result,) = ask(work, training, image)["results"]
        assert {score["label"]: score["probability"] for score in result["scores"]} == pytest.approx(dict(scores))
        assert (tuple(result["labels"]), result["unknown"]) == (decision.labels, decision.unknown)
        token = work.rig.by_token(work.owner, Scope.PREDICT)
        raw = {"data": image, "content_type": "application/octet-stream"}
        for name in ("colours-of-2026", "Colours-of-2026", training):
            bare = token.post(f"/api/predict/{work.public_id}/{name}", **raw)
            wanted = {label: probability * 100 for label, probability in scores}
            assert {score["label"]: score["score"] for score in bare} == pytest.approx(wanted, abs=1e-3)
            assert [score["label"] for score in bare] == [label for label, _ in scores]
        full = token.post(f"/v1/predict/{work.public_id}/colours-of-2026?version={training}", **raw)
        assert full["labels"] == list(decision.labels)
        name = f"{work.public_id}__colours-of-2026"
        tensor = preprocess(image, served.manifest.preprocessing)[None]
        sent = {
            "inputs": [
                {"name": "images", "datatype": "UINT8", "shape": list(tensor.shape), "data": tensor.ravel().tolist()}
            ],
            "outputs": [{"name": "probabilities"}],
        }
        answer = token.post(f"/v2/models/{name}/infer", sent)
        assert answer["outputs"][0]["data"] == pytest.approx(
            [dict(scores)[label] for label in served.manifest.labels], abs=1e-5
        )


def test_a_name_becomes_one_for_addresses() -> None:
    assert model_name("Waste, 2024 (Größe M)") == "waste-2024-groe-m"
    assert model_name("мусор") == "model"
    assert model_name("a" * 100) == "a" * 64
    assert (wanted_of(None).choice, wanted_of("last").choice) == ("best", "last")
    assert wanted_of(version_of("h4sTqXv9b2c", "last")).training == "h4sTqXv9b2c"


def test_many_images_come_as_json_a_table_or_folders(trained: tuple[Workplace, str], served: ServedModel) -> None:
    work, training = trained
    files = {f"{colour}/{number}.png": shape_file(colour, number) for colour in COLOURS for number in range(4)}
    files["broken.png"] = b"no image"
    archive = {"data": zipped(files), "content_type": "application/zip"}
    address = f"{work.path}/models/{training}/predict"
    results = work.caller.post(address, **archive)["results"]
    assert [result["name"] for result in results] == list(files)
    assert results[-1]["problem"]["code"] == "IMAGE_UNSUPPORTED"
    claimed = {name: list(served.predict(data).decision.labels) for name, data in list(files.items())[:-1]}
    assert {result["name"]: result["labels"] for result in results[:-1]} == claimed

    table = list(csv.DictReader(io.StringIO(work.caller.ask("POST", f"{address}?format=csv", **archive).text)))
    assert [row["name"] for row in table] == list(files)
    assert {row["name"]: row["labels"] for row in table[:-1]} == {
        name: ", ".join(found) for name, found in claimed.items()
    }
    assert float(table[0][served.manifest.labels[0]]) == pytest.approx(
        {score["label"]: score["probability"] for score in results[0]["scores"]}[served.manifest.labels[0]]
    )
    form = {"file": [(io.BytesIO(data), name) for name, data in files.items()]}
    answer = work.caller.ask("POST", f"{address}?format=zip", data=form)
    with zipfile.ZipFile(io.BytesIO(answer.data)) as made:
        assert made.testzip() is None
        names = made.namelist()
        assert names[-1] == "results.csv"
        by_folder: dict[str, int] = {}
        for name in names[:-1]:
            folder = name.partition("/")[0]
            by_folder[folder] = by_folder.get(folder, 0) + 1
            assert any(data == made.read(name) for data in files.values())
        wanted: dict[str, int] = {}
        for data in list(files.values())[:-1]:
            decision = served.predict(data).decision
            folder = "_unknown" if decision.unknown else (decision.labels or ("_none",))[0]
            wanted[folder] = wanted.get(folder, 0) + 1
        assert by_folder == wanted
        assert len(set(map(str.lower, names))) == len(names)  # 0.png of each colour has its own name


def test_labels_that_would_leave_the_archive_stay_in_it(
    work: Workplace, multi_run: TinyRun, multi_bundle: Path, maker_key: SigningKey
) -> None:
    trust(work, maker_key)
    training = shelf_of(work).add_trained(multi_run)
    shelf_of(work).prepare(training, multi_bundle)
    form = {"file": [(io.BytesIO(shape_file("green", number)), f"../{number}.png") for number in range(3)]}
    form["file"] += [(io.BytesIO(shape_file("green", 9)), "ok.png")]
    labels = work.caller.get(f"{work.path}/models/{training}/predict")["models"][0]["labels"]
    query = "&".join(f"threshold={name['label'].replace(',', '%2C')}:0" for name in labels)
    answer = work.caller.ask("POST", f"{work.path}/models/{training}/predict?format=zip&{query}", data=form)
    with zipfile.ZipFile(io.BytesIO(answer.data)) as made:
        names = made.namelist()
    assert len(names) in (2, len(labels) + 1)  # unknown, or in the folder of each label
    assert not any(part in ("", ".", "..") for name in names for part in name.split("/"))


def test_thresholds_of_a_request_hold_for_it_alone(trained: tuple[Workplace, str]) -> None:
    work, training = trained
    image = shape_file("red", 3)
    before = ask(work, training, image)["results"][0]
    top = before["scores"][0]["label"].replace(",", "%2C")
    with_all = ask(work, training, image, f"?threshold={top}:1&top=1")["results"][0]
    assert with_all["labels"] == []
    assert [score["threshold"] for score in with_all["scores"]] == [1.0]
    assert ask(work, training, image)["results"][0] == before
    every = ask(work, training, image, f"?threshold=*:0.75&threshold={top}:0.5")["results"][0]["scores"]
    assert [score["threshold"] for score in every] == [0.5, 0.75, 0.75]
    for wrong in ("x:0.5", f"{top}:2", f"{top}:nan", top):
        refused = work.caller.refused("POST", f"{work.path}/models/{training}/predict?threshold={wrong}", data=image)
        assert refused == (400, "VALUE_INVALID"), wrong


def test_a_stored_image_is_predicted_by_those_who_may_see_it(trained: tuple[Workplace, str]) -> None:
    work, training = trained
    image = shape_file("blue", 5)
    (file,) = work.upload({"a/blue.png": image})["files"]
    address = f"{work.path}/models/{training}/predict?image={file['image']}"
    (stored,) = work.caller.post(address)["results"]
    (sent,) = ask(work, training, image)["results"]
    assert stored == {**sent, "name": "a/blue.png"}
    token = work.rig.by_token(work.owner, Scope.PREDICT)
    assert token.refused("POST", address) == (403, "PRIVILEGE_MISSING")
    assert work.rig.by_token(work.owner, Scope.PREDICT, Scope.READ).post(address)["results"] == [stored]
    work.rig.parts.originals.remove(hashlib.sha256(image).hexdigest())  # as by somebody who removes it meanwhile
    (gone,) = work.caller.post(address)["results"]
    assert (gone["name"], gone["problem"]["code"]) == ("a/blue.png", "NOT_FOUND")
    other = work.rig.workplace()
    (foreign,) = other.add_images(1)
    assert work.caller.refused("POST", address.replace(file["image"], foreign)) == (404, "NOT_FOUND")


def test_nobody_predicts_with_a_model_of_a_project_that_is_not_theirs(trained: tuple[Workplace, str]) -> None:
    work, training = trained
    stranger = work.rig.somebody("stranger")
    viewer = work.rig.somebody("viewer")
    work.rig.share(work.project_id, "viewer", ProjectRole.VIEWER)
    address = f"{work.path}/models/{training}/predict"
    assert stranger.refused("POST", address, data=b"x") == (404, "PROJECT_NOT_FOUND")
    assert viewer.refused("POST", address, data=b"x") == (403, "PRIVILEGE_MISSING")
    image = shape_file("red", 1)
    ask(work, training, image)  # in memory by now
    inference = [
        ("POST", f"/api/predict/{work.public_id}/colours-of-2026"),
        ("POST", f"/v1/predict/{work.public_id}/{training}"),
        ("GET", f"/v1/models/{work.public_id}/colours-of-2026"),
        ("GET", f"/v2/models/{work.public_id}__colours-of-2026"),
        ("POST", f"/v2/models/{work.public_id}__colours-of-2026/infer"),
    ]  # fmt: skip
    for name in ("stranger", "viewer"):
        token = work.rig.by_token(name, *Scope)
        for method, path in inference:
            assert token.refused(method, path, data=image) == (404, "MODEL_NOT_FOUND")
        listed = token.get("/v1/models")
        assert (listed["models"], listed["standby"], token.get("/v2/models/stats")["model_stats"]) == ([], [], [])
    reader = work.rig.by_token(work.owner, Scope.READ, Scope.WRITE, Scope.TRAIN)
    for method, path in [*inference, ("GET", "/v1/models")]:
        assert reader.refused(method, path, data=image) == (403, "SCOPE_MISSING")
        assert work.rig.nobody().refused(method, path, data=image) == (401, "TOKEN_MISSING")
        assert work.caller.refused(method, path, data=image) == (401, "TOKEN_MISSING")  # a session is no key to it
    elsewhere = work.rig.by_token(work.owner, *Scope, project_id=work.rig.add_project(work.owner, "q")[0])
    assert elsewhere.refused("POST", inference[0][1], data=image) == (404, "MODEL_NOT_FOUND")
    assert elsewhere.get("/v1/models")["standby"] == []


def test_a_list_names_what_is_in_memory_and_what_stands_by(trained: tuple[Workplace, str]) -> None:
    work, training = trained
    token = work.rig.by_token(work.owner, Scope.PREDICT)
    first = token.get("/v1/models")
    assert (first["status"], first["models"]) == ("ready", [])
    assert {one["version"] for one in first["standby"]} == {training, f"{training}-last"}
    ask(work, training, shape_file("red", 1))
    then = token.get("/v1/models")
    assert [(one["project"], one["bundle"]) for one in then["models"]] == [(work.public_id, "best.onsight")]
    assert token.get("/v2/health/live") == {"live": True}


def test_the_newest_of_a_name_answers_and_an_older_one_by_its_id(
    trained: tuple[Workplace, str], multi_run: TinyRun, multi_bundle: Path
) -> None:
    work, old = trained
    new = shelf_of(work).add_trained(multi_run, "colours OF 2026")
    shelf_of(work).prepare(new, multi_bundle)
    running = shelf_of(work).add_trained(multi_run, "Colours of 2026", State.RUNNING)
    JobFolder(work.rig.parts.settings.jobs_folder, running).run.resume_path.write_bytes(b"")  # its weights change yet
    image = shape_file("red", 1)
    token = work.rig.by_token(work.owner, Scope.PREDICT)

    def task_of(query: str = "", name: str = "colours-of-2026") -> str:
        address = f"/v1/predict/{work.public_id}/{name}{query}"
        return str(token.post(address, data=image, content_type="application/octet-stream")["task"])

    assert task_of() == task_of(f"?version={new}") == task_of(name=new) == "multi_label"
    assert task_of(f"?version={old}") == task_of(name=old) == "single_label"
    assert token.refused("POST", f"/v1/predict/{work.public_id}/colours-of-2026?version=nothing") == (
        404, "MODEL_NOT_FOUND",
    )  # fmt: skip


def test_models_in_memory_are_few_and_the_one_used_longest_ago_makes_room(
    trained: tuple[Workplace, str], single_run: TinyRun, single_bundle: Path
) -> None:
    work, first = trained
    parts = work.rig.parts
    few = StudioContext(
        parts.settings.model_copy(update={"models_kept": 2}), parts.database, parts.originals, parts.thumbnails,
        now=parts.now,
    )  # fmt: skip
    app = create_app(few)
    held = work.caller.headers, work.caller.client.get_cookie("onsight_session")
    client = app.test_client()
    assert held[1] is not None
    client.set_cookie("onsight_session", held[1].value)
    caller = Caller(client, held[0])
    others = [shelf_of(work).add_trained(single_run, f"m{number}") for number in range(2)]
    for other in others:
        shelf_of(work).prepare(other, single_bundle)
    models = app.extensions[MODELS]
    image = {"data": shape_file("red", 1), "content_type": "application/octet-stream"}
    for training in (first, others[0], first, others[1]):
        caller.post(f"{work.path}/models/{training}/predict", **image)
    kept = {path.parts[-3] for path in models._slots}
    assert kept == {first, others[1]}
    slots = [slot for slots in models.table.slots.values() for slot in slots]
    assert len(slots) == 2
    caller.post(f"{work.path}/models/{others[0]}/predict", **image)  # opened again
    assert {path.parts[-3] for path in models._slots} == {others[0], others[1]}


def test_a_changed_bundle_is_not_opened(trained: tuple[Workplace, str]) -> None:
    work, training = trained
    path = JobFolder(work.rig.parts.settings.jobs_folder, training).folder / "predict" / "best.onsight"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    refused = work.caller.refused("POST", f"{work.path}/models/{training}/predict", data=shape_file("red", 1))
    assert refused == (409, "MODEL_NOT_LOADED")


def test_what_has_no_model_says_so(work: Workplace, single_run: TinyRun) -> None:
    running = shelf_of(work).add_trained(single_run, state=State.RUNNING)
    run = JobFolder(work.rig.parts.settings.jobs_folder, running).run
    run.resume_path.write_bytes(b"")
    image = {"data": shape_file("red", 1)}
    assert work.caller.refused("POST", f"{work.path}/models/{running}/predict", **image) == (404, "MODEL_NOT_FOUND")
    run.weights_path("best").unlink()
    assert work.caller.refused("GET", f"{work.path}/models/{running}/predict") == (409, "NOT_TRAINED")
    assert work.caller.refused("POST", f"{work.path}/models/{'x' * 11}/predict", **image) == (404, "JOB_NOT_FOUND")


@pytest.mark.slow
def test_the_first_question_makes_the_bundle_and_a_model_that_cannot_be_exported_says_why(
    work: Workplace, single_run: TinyRun
) -> None:
    training = shelf_of(work).add_trained(single_run)
    state = work.caller.get(f"{work.path}/models/{training}/predict")
    assert [model["readiness"] for model in state["models"]] == ["absent", "absent"]
    assert [score["label"] for score in state["models"][0]["labels"]] == list(single_run.run.model().labels)
    image = shape_file("red", 1)
    answer = ask_patiently(work, training, image)
    assert (answer["version"], answer["model"], answer["choice"]) == (f"{training}-last", "colours", "last")
    state = work.caller.get(f"{work.path}/models/{training}/predict")
    assert [model["readiness"] for model in state["models"]] == ["absent", "ready"]

    broken = shelf_of(work).add_trained(single_run)
    weights = JobFolder(work.rig.parts.settings.jobs_folder, broken).run.weights_path("last")
    weights.write_bytes(b"damaged")
    refused = work.caller.ask("POST", f"{work.path}/models/{broken}/predict?choice=last", data=image)
    assert (refused.status_code, refused.json["code"]) == (409, "MODEL_NOT_LOADED")  # type: ignore[index]
    assert str(work.rig.parts.settings.home) not in refused.text
    (failed,) = work.caller.get(f"{work.path}/models/{broken}/predict")["models"][1:]
    assert failed["readiness"] == "failed"
    assert failed["detail"]


def ask_patiently(work: Workplace, training: str, image: bytes) -> dict[str, Any]:
    """As a client does that is told to try again."""
    deadline = time.monotonic() + 300
    while True:
        answer = work.caller.ask("POST", f"{work.path}/models/{training}/predict?choice=last", data=image)
        if answer.status_code != 503 or time.monotonic() > deadline:
            assert answer.status_code == 200, answer.data
            found: dict[str, Any] = answer.json  # type: ignore[assignment]
            return found
        assert answer.json["code"] == "MODELS_LOADING"  # type: ignore[index]


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_a_heatmap_finds_the_corner_that_alone_speaks_for_the_label(served: ServedModel, row: int, column: int) -> None:
    """On even noise with one square of a colour, most of the positive evidence lies in that square's quarter."""
    for colour, start in (("red", "red"), ("green", "gr"), ("blue", "blue")):
        pixels = np.random.default_rng(row * 2 + column).integers(90, 160, (32, 32, 3), dtype=np.uint8)
        pixels[2 + 16 * row : 12 + 16 * row, 2 + 16 * column : 12 + 16 * column] = COLOURS[colour]
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG")
        image = preprocess(stream.getvalue(), served.manifest.preprocessing)
        label = next(n for n, name in enumerate(served.manifest.labels) if name.startswith(start))
        values = np.clip(occlusion_map(served, image, label, budget_s=60.0).values, 0, None)
        half = len(values) // 2
        quarter = values[row * half : (row + 1) * half, column * half : (column + 1) * half]
        assert quarter.sum() > 0.6 * values.sum()
        assert values.max() == quarter.max()


def test_a_heatmap_keeps_to_its_time(served: ServedModel) -> None:
    image = np.full((16, 16, 3), 120, np.uint8)

    class Clock:
        """A second passes at each look."""

        now = 0.0

        def __call__(self) -> float:
            self.now += 1.0
            return self.now

    made = occlusion_map(served, image, 0, budget_s=25 / 3, now=Clock())  # an answer takes a third of a second
    assert made.values.shape == (4, 4)
    assert made.evaluations == 3 + 25


def test_a_heatmap_is_asked_over_http(trained: tuple[Workplace, str], served: ServedModel) -> None:
    work, training = trained
    image = shape_file("red", 1)
    address = f"{work.path}/models/{training}/heatmap"
    raw = {"data": image, "content_type": "application/octet-stream"}
    found = work.caller.post(address, **raw)
    best = served.predict(image).decision.scores[0]
    assert (found["label"], found["probability"]) == (best.label, pytest.approx(best.probability, abs=1e-5))
    assert len({len(row) for row in found["values"]} | {len(found["values"])}) == 1
    assert found["area"] == {"left": 0, "top": 0, "right": 1, "bottom": 1}
    (file,) = work.upload({"red.png": image})["files"]
    other = served.manifest.labels[0]
    stored = work.caller.post(f"{address}?image={file['image']}&label={other}")
    assert stored["label"] == other
    assert work.caller.refused("POST", f"{address}?label=nothing", **raw) == (404, "LABEL_NOT_FOUND")
    assert work.caller.refused("POST", address, data=picture(1)[:30]) == (422, "IMAGE_CORRUPT")


def test_without_the_inference_api_its_addresses_are_nobodys(trained: tuple[Workplace, str]) -> None:
    work, training = trained
    parts = work.rig.parts
    settings = parts.settings.model_copy(update={"inference_api": False})
    rig = Rig(StudioContext(settings, parts.database, parts.originals, parts.thumbnails, now=parts.now), work.rig.clock)
    token = rig.by_token(work.owner, Scope.PREDICT)
    assert token.refused("POST", f"/api/predict/{work.public_id}/{training}", data=b"x") == (404, "NOT_FOUND")


def test_pretrained_models_of_the_operator_are_everybodys(
    work: Workplace, single_bundle: Path, maker_key: SigningKey, served: ServedModel
) -> None:
    trust(work, maker_key)
    folder = work.rig.parts.settings.folder / "pretrained"
    folder.mkdir(parents=True)
    (folder / "Colours.onsight").write_bytes(single_bundle.read_bytes())
    token = work.rig.by_token(work.owner, Scope.PREDICT)
    image = shape_file("red", 4)
    answer = token.post("/api/pm-predict/Colours", data=image, content_type="application/octet-stream")
    assert answer[0]["label"] == served.predict(image).decision.scores[0].label
    assert token.refused("POST", "/api/pm-predict/Others", data=image) == (404, "MODEL_NOT_FOUND")


def test_a_training_that_went_on_is_exported_anew(trained: tuple[Workplace, str]) -> None:
    work, training = trained
    place = JobFolder(work.rig.parts.settings.jobs_folder, training)
    later = time.time() + 10
    os.utime(place.run.weights_path("best"), (later, later))
    state = work.caller.get(f"{work.path}/models/{training}/predict")
    assert state["models"][0]["readiness"] == "absent"
