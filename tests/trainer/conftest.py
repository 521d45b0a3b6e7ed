"""Images, a tiny backbone and a feature cache that the tests of training share; whoever changes images makes a copy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shape_pictures import write_class_folders

TrainShapes = Callable[..., Any]


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """72 images in class folders blue, green and red."""
    return write_class_folders(tmp_path_factory.mktemp("shapes") / "images", {"blue": 24, "green": 24, "red": 24})


@pytest.fixture
def own_shapes(shapes: Path, tmp_path: Path) -> Path:
    """A copy of `shapes` that the test may change."""
    return Path(shutil.copytree(shapes, tmp_path / "images"))


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tiny_models import write_tiny_resnet

    return write_tiny_resnet(tmp_path_factory.mktemp("backbone") / "resnet")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, so that the backbone's graph is built once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def train_shapes(shapes: Path, backbone: Path, cache: Path, tmp_path: Path) -> TrainShapes:
    """train_shapes(name, ...) -> Outcome of a run in tmp_path / name: 4 epochs on one thread unless told otherwise.

    reporter, resume, overwrite go to `train`; all else is the recipe's. `backbone=None` trains the small network.
    """
    from trainer.progress import SilentReporter
    from trainer.recipe import Recipe
    from trainer.train import Outcome, train

    def run(
        name: str, *, reporter: Any = None, resume: bool = False, overwrite: bool = False, **changes: Any
    ) -> Outcome:
        choices = {"images": str(shapes), "backbone": str(backbone), "epochs": 4, "hidden_units": 16, "threads": 1}
        if "backbone" in changes and changes["backbone"] is None:
            choices |= {"input_height": 16, "input_width": 16}
        recipe = Recipe.model_validate({**choices, **changes})
        return train(recipe, tmp_path / name, cache, reporter or SilentReporter(), resume=resume, overwrite=overwrite)

    return run
