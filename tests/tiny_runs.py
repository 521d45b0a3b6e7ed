"""Real runs in small: images of coloured shapes made by code, trained in seconds, once a test session."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from bundle.manifest import Task
from trainer.progress import SilentReporter
from trainer.recipe import Recipe
from trainer.run import Run
from trainer.train import train

COLOURS = {"red": (220, 40, 40), "green": (40, 180, 60), "blue": (50, 70, 220)}
# Names of class folders, which may hold a comma or any letter.
FOLDERS = {"red": "red, dark", "green": "grün", "blue": "blue"}
# Labels that would leave a folder, break a table or a terminal's encoding.
ODD_LABELS = {"red": "red, dark", "green": "../grün", "blue": "blå/сини"}
EXPORTED_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
IMAGES_A_CLASS = 30


@dataclass(frozen=True)
class TinyRun:
    """A finished run, the images that it was trained on and, where there is one, their label file."""

    folder: Path
    images: Path
    labels_file: Path | None = None

    @property
    def run(self) -> Run:
        return Run(self.folder)

    def copy(self, out: Path) -> Run:
        """The same run elsewhere, to be damaged. Its images stay where they are."""
        return Run(Path(shutil.copytree(self.folder, out)))


def shapes(colours: tuple[str, ...], seed: int, edge: int = 32) -> Image.Image:
    """An ellipse or rectangle of each colour on a grey, noisy ground."""
    random = np.random.default_rng(seed)
    image = Image.fromarray(random.integers(90, 160, (edge, edge, 3), dtype=np.uint8))
    draw = ImageDraw.Draw(image)
    for colour in colours:
        left, top = random.integers(0, edge // 2, 2).tolist()
        side = int(random.integers(edge // 3, edge // 2))
        shape = draw.ellipse if random.random() < 0.5 else draw.rectangle
        shape((left, top, left + side, top + side), fill=COLOURS[colour])
    return image


def write_class_folders(root: Path, count: int = IMAGES_A_CLASS, seed: int = 0) -> Path:
    """root/blue/blue-00.png and so on."""
    for place, (colour, folder) in enumerate(FOLDERS.items()):
        (root / folder).mkdir(parents=True)
        for number in range(count):
            shapes((colour,), seed + 1000 * place + number).save(root / folder / f"{colour}-{number:02}.png")
    return root


def write_labelled_images(root: Path, count: int = 12) -> Path:
    """root/images of none, one or two colours; returns root/labels.json, which names them by odd labels."""
    (root / "images").mkdir(parents=True)
    names = list(COLOURS)
    subsets: list[tuple[str, ...]] = [(), *((name,) for name in names), *combinations(names, 2)]
    labels: dict[str, list[str]] = {}
    for place, subset in enumerate(subsets):
        for number in range(count):
            name = f"{place}-{number:02}.png"
            shapes(subset, 7000 + 100 * place + number).save(root / "images" / name)
            labels[name] = [ODD_LABELS[colour] for colour in subset]
    path = root / "labels.json"
    path.write_text(json.dumps(labels, ensure_ascii=False), encoding="utf-8")
    return path


def train_tiny(root: Path, task: Task) -> TinyRun:
    """A run in root/run of a network from random weights on 16x16 pixels. Its scores are far from 0 and 1."""
    labels_file = None
    if task is Task.SINGLE_LABEL:
        images = write_class_folders(root / "images")
    else:
        labels_file = write_labelled_images(root)
        images = root / "images"
    recipe = Recipe(
        images=str(images), labels_file=str(labels_file) if labels_file else None, task=task,
        input_height=16, input_width=16, hidden_units=16, epochs=20, batch_size=8, threads=1,
        validation_fraction=0.2, test_fraction=0.2, augmentation="none",
    )  # fmt: skip
    outcome = train(recipe, root / "run", root / "cache", SilentReporter())
    return TinyRun(outcome.run.folder, images, labels_file)
