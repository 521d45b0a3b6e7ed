"""Whatever is wrong with a run is said in a sentence, before any bundle is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from exporting import change_predictions, refused
from tiny_runs import TinyRun

from bundle.errors import OnsightError
from bundle.keys import SigningKey
from exporter.errors import ExportError, ParityError
from exporter.export import export_run
from exporter.importing.make import import_model
from exporter.writing import default_name
from trainer.errors import RunError, SnapshotError
from trainer.run import Run
from trainer.statistics import models_from_json

Damage = Callable[[Run], object]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where an earlier bundle of another content stands, which a failed export must not touch."""
    out = tmp_path / "bundles" / "shapes.onsight"
    out.parent.mkdir()
    out.write_bytes(b"an earlier bundle")
    return out


def change_json(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def flip_byte(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0xFF
    path.write_bytes(data)


def other_logits(run: Run) -> None:
    with np.load(run.predictions_path) as file:
        logits = file["best_logits"]
    change_predictions(run, best_logits=logits + np.float32(0.1) * np.sign(logits))


DAMAGES: dict[str, tuple[Damage, type[OnsightError], str]] = {
    "no recipe": (lambda run: run.recipe_path.unlink(), RunError, "expected a run folder, found another folder"),
    "no snapshot": (lambda run: run.snapshot_path.unlink(), RunError, r"expected snapshot\.json.*--resume"),
    "no model description": (lambda run: run.model_path.unlink(), RunError, r"expected model\.json"),
    "no statistics": (lambda run: run.statistics_path.unlink(), RunError, r"expected statistics\.json"),
    "no predictions": (lambda run: run.predictions_path.unlink(), RunError, r"expected predictions\.npz"),
    "no weights": (lambda run: run.weights_path("best").unlink(), RunError, r"expected best\.safetensors"),
    "changed snapshot": (
        lambda run: run.snapshot_path.write_text(run.snapshot_path.read_text().replace('"blue"', '"bleu"')),
        SnapshotError,
        "changed after it was written",
    ),
    "damaged model description": (lambda run: run.model_path.write_text("{"), RunError, "expected JSON"),
    "another model description": (
        lambda run: change_json(run.model_path, lambda model: model.update(task="guess")),
        RunError,
        "expected a model description, found task",
    ),
    "damaged statistics": (lambda run: run.statistics_path.write_text("{}"), ExportError, "expected statistics of"),
    "statistics of the last model alone": (
        lambda run: change_json(run.statistics_path, lambda document: document["models"].pop("best")),  # type: ignore[attr-defined]
        ExportError,
        "statistics of the best model",
    ),
    "cut weights": (
        lambda run: run.weights_path("best").write_bytes(run.weights_path("best").read_bytes()[:5000]),
        RunError,
        "expected safetensors, found a damaged file",
    ),
    "weights of another network": (
        lambda run: change_json(run.model_path, lambda model: model.update(hidden_units=8)),
        RunError,
        r"best\.safetensors: expected the weights of the network",
    ),
    "empty predictions": (lambda run: run.predictions_path.write_bytes(b""), RunError, "found a damaged file"),
    "cut predictions": (
        lambda run: run.predictions_path.write_bytes(run.predictions_path.read_bytes()[:900]),
        RunError,
        "found a damaged file",
    ),
    "predictions without the model's": (
        lambda run: change_predictions(run, best_logits=None),  # type: ignore[arg-type]
        RunError,
        "found a damaged file",
    ),
    "predictions of other images": (
        lambda run: change_predictions(run, paths=np.asarray([f"{n}.png" for n in range(90)])),
        ExportError,
        "belongs to another run",
    ),
    "predictions that are not finite": (
        lambda run: change_predictions(run, best_logits=np.full((90, 3), np.nan, np.float32)),
        ExportError,
        "expected finite scores",
    ),
    "other predictions": (other_logits, ExportError, "expected cross entropy"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_run_is_refused_and_nothing_is_written(
    name: str, single_run: TinyRun, maker_key: SigningKey, tmp_path: Path, out: Path
) -> None:
    damage, error, message = DAMAGES[name]
    run = single_run.copy(tmp_path / "run")
    damage(run)
    with refused(error, message, out):
        export_run(run, out, maker_key)


@pytest.mark.parametrize(
    ("task", "figure"),
    [
        ("single", "temperature"),
        pytest.param("multi", "temperature", marks=pytest.mark.slow),
        pytest.param("multi", "thresholds", marks=pytest.mark.slow),
    ],
)
def test_a_statistic_that_does_not_follow_from_the_predictions_is_refused(
    task: str, figure: str, request: pytest.FixtureRequest, maker_key: SigningKey, tmp_path: Path, out: Path
) -> None:
    run = request.getfixturevalue(f"{task}_run").copy(tmp_path / "run")
    models = models_from_json(run.statistics_path.read_text())

    def change(document: dict[str, dict[str, dict[str, dict[str, object]]]]) -> None:
        best = document["models"]["best"]
        if figure == "temperature":
            best["calibration"]["temperature"] = models["best"].calibration.temperature * 1.2
        else:
            best["thresholds"]["values"] = [0.001, 0.001, 0.001]

    change_json(run.statistics_path, change)  # type: ignore[arg-type]
    wanted = "cross entropy" if figure == "temperature" else "exact match"
    with refused(ExportError, f"expected {wanted} .* changed after training", out):
        export_run(run, out, maker_key)


@pytest.mark.slow
def test_statistics_of_another_run_are_refused(
    single_run: TinyRun, multi_run: TinyRun, maker_key: SigningKey, tmp_path: Path, out: Path
) -> None:
    run = single_run.copy(tmp_path / "run")
    shutil.copy2(multi_run.run.statistics_path, run.statistics_path)
    with refused(ExportError, "expected the labels of this run's snapshot", out):
        export_run(run, out, maker_key)


@pytest.mark.parametrize("place", ["moved away", "all changed", "an empty folder"])
def test_without_one_unchanged_image_there_is_no_proof_and_no_bundle(
    place: str, single_run: TinyRun, maker_key: SigningKey, tmp_path: Path, out: Path
) -> None:
    images = tmp_path / "images"
    if place == "all changed":
        shutil.copytree(single_run.images, images)
        for path in images.rglob("*.png"):
            flip_byte(path, -20)
    elif place == "an empty folder":
        images.mkdir()
    with refused(ExportError, "found none unchanged.*--images", out):
        export_run(single_run.run, out, maker_key, images=images)


@pytest.mark.parametrize(
    "name", ["", "two words", "a/b", "../up", ".hidden", "-dash", "ümlaut", "x" * 101, "new\nline", "good\n"]
)
def test_a_name_that_fits_no_url_is_refused_before_any_work(
    name: str, maker_key: SigningKey, tmp_path: Path, out: Path
) -> None:
    with refused(ExportError, "model name: expected 1 to 100 letters", out):
        export_run(Run(tmp_path / "nothing"), out, maker_key, name=name)


@pytest.mark.parametrize("version", ["", "1 beta", "1/2", "-1", "v" * 65])
def test_a_version_that_cannot_be_is_refused_before_any_work(
    version: str, maker_key: SigningKey, tmp_path: Path, out: Path
) -> None:
    with refused(ExportError, "model version: expected 1 to 64 letters", out):
        export_run(Run(tmp_path / "nothing"), out, maker_key, version=version)


@pytest.mark.parametrize(
    ("file_name", "name"),
    [
        ("trash.onsight", "trash"),
        ("trash v1.2.onsight", "trash-v1.2"),
        ("..onsight.onsight", "onsight"),
        ("_x.onsight", "x"),
        ("größe.onsight", "gr--e"),
        ("日本.onsight", "model"),
        ("x" * 200 + ".onsight", "x" * 100),
        ("²3.onsight", "3"),
    ],
)
def test_the_default_name_is_the_files_made_fit_for_a_url(file_name: str, name: str) -> None:
    assert default_name(Path("folder") / file_name) == name


@pytest.mark.slow
def test_predictions_that_the_weights_do_not_give_are_refused(
    single_run: TinyRun, maker_key: SigningKey, tmp_path: Path, out: Path
) -> None:
    """One weight of 20,000 is another; file, predictions and statistics are whole."""
    run = single_run.copy(tmp_path / "run")
    weights = run.load_tensors(run.weights_path("best"))
    weights["head.output.bias"][0] += 0.05
    run.save_tensors(run.weights_path("best"), weights)
    with refused(ParityError, "weights, images or backbone have changed since training", out):
        export_run(run, out, maker_key)


@pytest.mark.parametrize("place", ["below a file", "a folder", "a file system that takes no file"])
def test_a_place_that_cannot_be_written_is_told_of_before_any_work(
    place: str, maker_key: SigningKey, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    out = tmp_path / "file" / "shapes.onsight" if place == "below a file" else tmp_path / "shapes.onsight"
    if place == "a folder":
        out.mkdir()
    elif place == "a file system that takes no file":
        out = Path("/proc/shapes.onsight")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ExportError, match=r"shapes\.onsight: expected to write the bundle there, found"):
        export_run(Run(tmp_path / "nothing"), out, maker_key)
    with pytest.raises(ExportError, match=r"shapes\.onsight: expected to write the bundle there, found"):
        import_model(tmp_path / "nothing.onnx", out, maker_key)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_is_not_there_yet_is_no_fault_and_is_not_made_for_a_bundle_that_fails(
    maker_key: SigningKey, tmp_path: Path
) -> None:
    with pytest.raises(RunError):
        export_run(Run(tmp_path / "nothing"), tmp_path / "new" / "folder" / "shapes.onsight", maker_key)
    assert list(tmp_path.iterdir()) == []
