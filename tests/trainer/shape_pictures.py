"""Small real images made by code: a coloured ellipse on a noisy ground, its colour the label."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

COLOURS = {"blue": (50, 60, 220), "green": (40, 200, 40), "red": (220, 40, 40)}
SIDE = 32


def shape_picture(random: np.random.Generator, colours: list[str]) -> Image.Image:
    """32x32; one ellipse a colour, each in its own third of the height, so that none hides another."""
    ground = Image.fromarray(random.integers(0, 256, (2, 2, 3), dtype=np.uint8))
    image = ground.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(image)
    for place, colour in enumerate(colours):
        left, top = int(random.integers(0, 14)), int(random.integers(0, 3)) + place * SIDE // 3
        draw.ellipse((left, top, left + int(random.integers(12, 18)), top + 9), fill=COLOURS[colour])
    noisy = np.asarray(image).astype(np.float64) + random.normal(0, 12, (SIDE, SIDE, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def write_class_folders(root: Path, counts: dict[str, int], seed: int = 0) -> Path:
    """counts: images per colour; one PNG each at root/colour/NN.png."""
    random = np.random.default_rng(seed)
    for colour, count in counts.items():
        (root / colour).mkdir(parents=True)
        for number in range(count):
            shape_picture(random, [colour]).save(root / colour / f"{number:02d}.png")
    return root


def write_tagged(root: Path, count: int, seed: int = 0) -> tuple[Path, Path]:
    """Images with none to three colours each, and a label file that says which. Returns folder and file."""
    random = np.random.default_rng(seed)
    root.mkdir(parents=True)
    labels = root.with_name("labels.csv")
    with labels.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", "label", "label", "label"])
        for number in range(count):
            colours = [colour for colour in COLOURS if random.random() < 0.5]
            shape_picture(random, colours).save(root / f"{number:03d}.png")
            table.writerow([f"{number:03d}.png", *colours])
    return root, labels
