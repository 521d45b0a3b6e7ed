"""onsight-small, the backbone that comes with Onsight: what it is, that it is the default, that a wheel has it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from onsight_process import Onsight
from safetensors import safe_open
from tiny_runs import EXPORTED_AT, write_class_folders

from benchmarks.backbone.networks import multiply_adds
from bundle.home import OnsightHome
from bundle.keys import SigningKey
from exporter.export import export_run
from trainer.backbone import (
    BUILT_IN,
    DEFAULT_NAME,
    TransformersBackbone,
    check_backbone,
    load_encoder,
    read_backbone_spec,
)
from trainer.backbone_store import BackboneStore
from trainer.errors import BackboneError
from trainer.run import Run

PROJECT = Path(__file__).parents[2]
FOLDER = BUILT_IN / DEFAULT_NAME
FILES = {"LICENSE", "README.md", "config.json", "model.safetensors", "preprocessor_config.json"}
EXPORT = """
import sys
from pathlib import Path
from bundle.keys import SigningKey
from exporter.export import export_run
from trainer.run import Run
print(export_run(Run(Path(sys.argv[1])), Path(sys.argv[2]), SigningKey.generate()).manifest.model_id)
"""


def test_it_is_small_and_lies_there_with_its_licence_and_its_card() -> None:
    assert {path.name for path in FOLDER.iterdir()} == FILES
    assert (FOLDER / "LICENSE").read_bytes() == (PROJECT / "LICENSE").read_bytes()
    assert (FOLDER / "model.safetensors").stat().st_size <= 12_000_000
    with safe_open(FOLDER / "model.safetensors", "np") as file:
        dtypes = {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
    assert dtypes <= {"F16", "I64"}
    described = BackboneStore(Path("/nowhere")).describe(DEFAULT_NAME)
    assert (described.built_in, described.licence, described.width) == (True, "apache-2.0", 160)


def test_it_computes_in_32_bits_within_its_budget_and_the_same_each_time() -> None:
    encoder = load_encoder(read_backbone_spec(FOLDER))
    assert isinstance(encoder.backbone, TransformersBackbone)
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}
    assert multiply_adds(encoder.backbone.model, 160) <= 300_000_000
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 160, 160, 3), dtype=np.uint8))
    with torch.no_grad():
        features, again = encoder(images), load_encoder(read_backbone_spec(FOLDER), seed=7)(images)
    assert torch.equal(features, again)
    assert features.isfinite().all()
    assert features.std(0).max() > 1e-2  # of the image, not of the network alone


def test_nothing_replaces_or_removes_it(tmp_path: Path) -> None:
    store = BackboneStore(tmp_path / "backbones")
    assert store.names() == [DEFAULT_NAME]
    with pytest.raises(BackboneError, match="found the backbone that comes with Onsight"):
        store.add_folder(FOLDER)
    with pytest.raises(BackboneError, match="expected a backbone that was added"):
        store.remove(DEFAULT_NAME)
    assert {path.name for path in FOLDER.iterdir()} == FILES
    store.add_folder(FOLDER, "copy")
    assert store.names() == [DEFAULT_NAME, "copy"]
    assert store.describe("copy").sha256 == store.describe(DEFAULT_NAME).sha256


def test_a_run_of_another_install_finds_it_here_unless_it_is_another_one(tmp_path: Path) -> None:
    here = read_backbone_spec(FOLDER)
    elsewhere = replace(here, folder=str(tmp_path / "other" / "trainer" / "backbones" / DEFAULT_NAME))
    assert check_backbone(elsewhere) == here
    with pytest.raises(BackboneError, match="no such folder"):
        check_backbone(replace(elsewhere, sha256="0" * 64))
    with pytest.raises(BackboneError, match="no such folder"):
        check_backbone(replace(elsewhere, folder=str(tmp_path / "other" / "mobilenet")))


@pytest.mark.slow
def test_it_is_what_a_training_uses_and_the_export_is_proven_and_the_same_in_two_processes(
    onsight: Onsight, home: OnsightHome, tmp_path: Path
) -> None:
    images = write_class_folders(tmp_path / "images", 12)
    trained = onsight("train", images, "--out", "run", "--epochs", 20, "--threads", 1, "--json")
    assert trained.code == 0, trained.stderr
    assert trained.json["metrics"]["validation"]["accuracy"] > 0.9
    run = Run(tmp_path / "run")
    assert run.model().backbone == read_backbone_spec(FOLDER)
    assert run.recipe().backbone == str(FOLDER)

    manifest = export_run(run, tmp_path / "a.onsight", SigningKey.generate(), now=EXPORTED_AT).manifest
    assert manifest.backbone.name == "regnet"
    parity = manifest.variants[0].parity
    assert (parity.batch_sizes, parity.decisions_flipped) == ((1, 2, 7, 32), 0)
    assert parity.max_difference <= 1e-5
    moved = json.loads(run.model_path.read_text())
    moved["backbone"]["folder"] = f"/another/install/{DEFAULT_NAME}"
    run.model_path.write_text(json.dumps(moved))
    command = [sys.executable, "-c", EXPORT, str(run.folder), str(tmp_path / "b.onsight")]
    elsewhere = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True, timeout=300)
    assert elsewhere.stdout.strip() == manifest.model_id


@pytest.mark.parametrize("also", [["--backbone", DEFAULT_NAME], ["--fine-tune"], ["--random-weights"]])
def test_from_scratch_takes_no_backbone_beside_it(onsight: Onsight, tmp_path: Path, also: list[str]) -> None:
    (tmp_path / "images").mkdir()
    refused = onsight("train", "images", "--out", "run", "--from-scratch", *also)
    assert refused.code == 2
    assert "leave out --backbone, --fine-tune and --random-weights" in " ".join(refused.stderr.split())


@pytest.mark.slow
def test_a_wheel_brings_all_of_it(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("trainer", "bundle", "licenses", "exporter", "server", "studio", "onsight"):
        if (PROJECT / name).is_dir():
            shutil.copytree(PROJECT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copyfile(PROJECT / name, source / name)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(build, cwd=source, check=True, capture_output=True, timeout=300)
    (wheel,) = (tmp_path / "dist").glob("onsight-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for name in FILES:
            assert archive.read(f"trainer/backbones/{DEFAULT_NAME}/{name}") == (FOLDER / name).read_bytes()
