"""scikit-learn's handwritten digits, written out as images: a real data set that is at hand without a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

EDGE = 32  # pixels; the originals are 8x8
HELD_OUT = 100


def write_digits(images: Path, held_out: Path) -> list[tuple[Path, str]]:
    """Write class folders 0 to 9 of 1,697 PNGs, and 100 more into `held_out`; returns those with their true labels.

    Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.images))
    test: list[tuple[Path, str]] = []
    for place, index in enumerate(order):
        label = str(digits.target[index])
        grey = np.round(255 - digits.images[index] * (255 / 16)).astype(np.uint8)  # 0..16 ink -> 255..0
        image = Image.fromarray(grey).resize((EDGE, EDGE), Image.Resampling.BICUBIC)
        folder = held_out if place < HELD_OUT else images / label
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"digit-{index:04d}.png"
        image.save(path)
        if place < HELD_OUT:
            test.append((path, label))
    return test
