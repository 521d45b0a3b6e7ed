"""Every family of backbones that the manual lists: trained through ONNX Runtime, exported, the same in any process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_models import families, save_folder
from tiny_runs import EXPORTED_AT, write_class_folders

from bundle.archive import read_archive
from bundle.decide import probabilities_from_logits
from bundle.keys import SigningKey
from bundle.load import load_bundle
from bundle.trust import TrustStore
from exporter.export import export_run
from exporter.parity import cpu_infer
from trainer.backbone import load_encoder, read_backbone_spec
from trainer.errors import BackboneError
from trainer.progress import SilentReporter
from trainer.recipe import Recipe
from trainer.run import Run
from trainer.train import train

pytestmark = pytest.mark.slow
PROJECT = Path(__file__).parents[2]
FAMILIES = ("mobilenet_v2", "resnet", "convnextv2", "efficientnet", "vit", "dinov2", "swin")
IMAGES_A_CLASS = 16  # 48 in all: more than the largest batch of the proof

ELSEWHERE = """
import json, sys
from pathlib import Path
from bundle.keys import SigningKey
from exporter.export import export_run
from trainer.run import Run
root, key = Path(sys.argv[1]), SigningKey.generate()
print(json.dumps({run.name: export_run(Run(run), root / f"{run.name}.onsight", key).manifest.model_id
                  for run in sorted((root / "runs").iterdir())}))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images/ and runs/FAMILY, each trained on features of a random network of that family."""
    root = tmp_path_factory.mktemp("families")
    images = write_class_folders(root / "images", IMAGES_A_CLASS)
    for family in FAMILIES:
        build, side = families()[family]
        folder = save_folder(build(), root / "backbones" / family, side)
        recipe = Recipe(
            images=str(images), backbone=str(folder), epochs=6, batch_size=8, learning_rate=0.001,
            hidden_units=0, threads=1,
        )  # fmt: skip
        train(recipe, root / "runs" / family, root / "cache", SilentReporter())
    return root


@pytest.fixture(scope="module")
def elsewhere(trained: Path) -> dict[str, str]:
    """SHA-256 of each family's graph, as another process exports it."""
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(trained)], cwd=PROJECT, check=True, capture_output=True, timeout=300
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_trained_with_and_exported_alike_in_two_processes(
    family: str, trained: Path, elsewhere: dict[str, str], maker_key: SigningKey, tmp_path: Path
) -> None:
    run = Run(trained / "runs" / family)
    exported = export_run(run, tmp_path / f"{family}.onsight", maker_key, now=EXPORTED_AT)
    manifest = exported.manifest
    assert manifest.backbone.name == family
    assert manifest.model_id == elsewhere[family]
    parity = manifest.variants[0].parity
    assert parity.batch_sizes == (1, 2, 7, 32)
    assert parity.images == 3 * IMAGES_A_CLASS
    assert parity.max_difference <= 1e-5
    assert parity.decisions_flipped == 0
    # The proof says something: the answers depend on the image, also near the middle of the scale.
    with np.load(run.predictions_path, allow_pickle=False) as predictions:
        logits = predictions["best_logits"]
    probabilities = probabilities_from_logits(logits, manifest.task, manifest.calibration.temperature)
    assert probabilities.std(0).min() > 0.05
    assert ((probabilities > 0.02) & (probabilities < 0.98)).mean() > 0.1


@pytest.mark.parametrize("family", ["resnet", "dinov2", "swin"])
def test_a_family_that_takes_other_sizes_answers_alike_at_another_size(
    family: str, trained: Path, maker_key: SigningKey, tmp_path: Path
) -> None:
    """40 x 56: no square, and not a size that the network was made for."""
    recipe = Recipe(
        images=str(trained / "images"), backbone=str(trained / "backbones" / family), epochs=3, hidden_units=0,
        threads=1, input_height=40, input_width=56,
    )  # fmt: skip
    train(recipe, tmp_path / "run", tmp_path / "cache", SilentReporter())
    out = tmp_path / "other.onsight"
    manifest = export_run(Run(tmp_path / "run"), out, maker_key).manifest
    assert (manifest.preprocessing.height, manifest.preprocessing.width) == (40, 56)
    assert manifest.variants[0].parity.max_difference <= 1e-5
    trust = TrustStore(tmp_path / "trust")
    trust.add(maker_key.public_key, "maker")
    assert load_bundle(out, trust).manifest.model_id == manifest.model_id
    infer = cpu_infer(read_archive(out)["model.onnx"])
    assert infer(np.zeros((5, 40, 56, 3), np.uint8))[0].shape == (5, 3)


@pytest.mark.parametrize("family", ["vit", "swin"])
def test_a_family_that_does_not_take_another_size_says_which_one_it_takes(family: str, trained: Path) -> None:
    folder = trained / "backbones" / family
    side = families()[family][1]
    with pytest.raises(BackboneError, match=f"takes 12x12 images; .* made for {side}x{side}: try --size {side}"):
        load_encoder(read_backbone_spec(folder, 12, 12))
