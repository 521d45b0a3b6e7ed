"""A run names its backbone by digest: it may move, but not change."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from exporting import refused
from safetensors.torch import load_file, save_file
from tiny_runs import TinyRun

from bundle.archive import read_archive
from bundle.keys import SigningKey
from exporter.export import export_run
from trainer.errors import BackboneError
from trainer.run import Run

pytestmark = pytest.mark.slow


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "shapes.onsight"


@pytest.fixture
def moved(backbone_run: TinyRun, backbone_folder: Path, tmp_path: Path) -> tuple[Run, Path]:
    """The run, with its backbone gone from where it was, and where that lies now."""
    run = backbone_run.copy(tmp_path / "run")
    run.model_path.write_text(run.model_path.read_text().replace(str(backbone_folder), str(tmp_path / "gone")))
    return run, Path(shutil.copytree(backbone_folder, tmp_path / "moved"))


def test_a_head_and_its_backbone_become_one_graph(backbone_run: TinyRun, maker_key: SigningKey, out: Path) -> None:
    exported = export_run(backbone_run.run, out, maker_key)
    assert exported.manifest.backbone.name == "resnet"
    assert exported.manifest.backbone.fine_tuned is False
    assert exported.manifest.preprocessing.height == 32
    assert len(read_archive(out)["model.onnx"]) > 4 * 5000  # the backbone's weights are in it


def test_a_missing_backbone_is_told_of(moved: tuple[Run, Path], maker_key: SigningKey, out: Path) -> None:
    with refused(BackboneError, "gone: expected a local transformers folder .* found no such folder", out):
        export_run(moved[0], out, maker_key)


def test_a_backbone_that_moved_is_found_where_it_is_said_to_be(
    moved: tuple[Run, Path], backbone_run: TinyRun, maker_key: SigningKey, out: Path
) -> None:
    run, folder = moved
    found = export_run(run, out, maker_key, backbone=folder).manifest.model_id
    assert found == export_run(backbone_run.run, out, maker_key).manifest.model_id


@pytest.mark.parametrize("change", ["one weight", "the architecture", "no weights", "config is no JSON"])
def test_a_backbone_that_changed_is_refused(
    change: str, moved: tuple[Run, Path], maker_key: SigningKey, out: Path
) -> None:
    run, folder = moved
    weights, config = folder / "model.safetensors", folder / "config.json"
    message = "expected the backbone of this run"
    if change == "one weight":
        tensors = load_file(weights)
        next(iter(tensors.values())).flatten()[0] += 1
        save_file(tensors, weights, {"format": "pt"})
    elif change == "the architecture":
        config.write_text(json.dumps({**json.loads(config.read_text()), "hidden_act": "gelu"}))
    elif change == "no weights":
        weights.unlink()
        message = r"expected \*\.safetensors beside config\.json"
    else:
        config.write_text("{")
        message = "expected JSON in config.json"
    with refused(BackboneError, message, out):
        export_run(run, out, maker_key, backbone=folder)


def test_a_fine_tuned_backbone_is_shipped_with_its_own_weights(
    backbone_run: TinyRun, backbone_folder: Path, maker_key: SigningKey, tmp_path: Path, out: Path
) -> None:
    from trainer.progress import SilentReporter
    from trainer.recipe import Recipe
    from trainer.train import train

    recipe = Recipe(
        images=str(backbone_run.images), backbone=str(backbone_folder), epochs=3, hidden_units=8, threads=1,
        fine_tune=True,
    )  # fmt: skip
    run = train(recipe, tmp_path / "run", tmp_path / "cache", SilentReporter()).run
    manifest = export_run(run, out, maker_key).manifest
    assert manifest.backbone.fine_tuned is True
    assert manifest.variants[0].parity.max_difference < 1e-5
