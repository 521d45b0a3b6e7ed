"""A run with a backbone, small enough to be made anew: a real `transformers` folder of a random residual network. And
labels for foreign models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from foreign_models import LABELS
from tiny_runs import TinyRun, write_class_folders

from trainer.progress import SilentReporter
from trainer.recipe import Recipe
from trainer.train import train


@pytest.fixture(scope="session")
def backbone_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import ResNetConfig, ResNetModel

    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("backbone") / "resnet"
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    ResNetModel(config).save_pretrained(folder, safe_serialization=True)
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": {"height": 32, "width": 32}}))
    return folder


@pytest.fixture(scope="session")
def backbone_run(backbone_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """A head on the frozen backbone's features."""
    root = tmp_path_factory.mktemp("transfer")
    images = write_class_folders(root / "images", 12)
    recipe = Recipe(images=str(images), backbone=str(backbone_folder), epochs=5, hidden_units=8, threads=1)
    train(recipe, root / "run", root / "cache", SilentReporter())
    return TinyRun(root / "run", images)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("\n".join(LABELS) + "\n", encoding="utf-8")
    return path
