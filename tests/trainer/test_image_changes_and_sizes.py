"""The small parts: random changes of training images, the input size of a small network, lengths of time, recipes."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from trainer.augment import augment
from trainer.progress import duration
from trainer.recipe import Augmentation, Recipe
from trainer.scratch_size import scratch_edge


def images(count: int = 64, height: int = 20, width: int = 24) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8))


def changed(kind: Augmentation, pixels: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return augment(pixels, kind, torch.Generator().manual_seed(seed))


def test_without_augmentation_images_stay_as_they_are() -> None:
    assert torch.equal(changed("none", images()), images().float())


@pytest.mark.parametrize("kind", ["light", "flip"])
def test_changes_come_from_the_generator_alone_and_stay_in_range(kind: Augmentation) -> None:
    first = changed(kind, images())
    torch.rand(5)
    assert torch.equal(first, changed(kind, images()))
    assert not torch.equal(first, changed(kind, images(), seed=1))
    assert first.shape == images().shape
    assert first.dtype == torch.float32
    assert 0 <= float(first.min()) < float(first.max()) <= 255


def test_a_plain_image_stays_plain_since_edges_are_repeated() -> None:
    plain = torch.full((50, 16, 16, 3), 100, dtype=torch.uint8)
    spread = changed("flip", plain).flatten(1)
    assert float((spread.max(1).values - spread.min(1).values).max()) < 0.01


def test_only_flip_makes_mirror_images() -> None:
    halves = torch.zeros(200, 32, 32, 3, dtype=torch.uint8)
    halves[:, :, 16:] = 255  # dark left, bright right

    def mirrored(kind: Augmentation) -> float:
        pixels = changed(kind, halves)
        return float((pixels[:, :, :10].mean((1, 2, 3)) > pixels[:, :, -10:].mean((1, 2, 3))).float().mean())

    assert mirrored("light") == 0
    assert 0.35 < mirrored("flip") < 0.65


@pytest.mark.parametrize(
    ("sides", "edge"), [([8, 20], 32), ([32], 32), ([33], 64), ([64, 64, 500], 64), ([96], 96), ([400, 600], 128)]
)
def test_a_small_network_takes_images_near_their_own_size(tmp_path: Path, sides: list[int], edge: int) -> None:
    paths = []
    for number, side in enumerate(sides):
        paths.append(tmp_path / f"{number}.png")
        Image.new("RGB", (side, side * 2)).save(paths[-1])
    (tmp_path / "no.png").write_text("no image")
    assert scratch_edge([*paths, tmp_path / "no.png", tmp_path / "absent.png"]) == edge
    assert scratch_edge([]) == 64


def test_an_enormous_image_in_the_sample_is_passed_over_quietly(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.png"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.new("1", (13_000, 13_000)).save(bomb)
    assert scratch_edge([bomb]) == 128


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (10, "10 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (7200, "2 h"),
        (7500, "2 h 5 min"),
    ],
)
def test_lengths_of_time_are_told_as_a_person_tells_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    "field",
    [
        {"minutes": 0}, {"minutes": float("nan")}, {"seed": -1}, {"seed": 2**32}, {"epochs": 0}, {"input_height": 4},
        {"validation_fraction": 1.0}, {"learning_rate": 0}, {"augmentation": "wild"}, {"unknown": 1},
    ],
)  # fmt: skip
def test_a_recipe_refuses_what_makes_no_sense(field: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Recipe.model_validate({"images": "photos", **field})
