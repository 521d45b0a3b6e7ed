"""The input size of a network from random weights: the images' own, within what such a network can learn from."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

EDGES = (32, 64, 96, 128)


def scratch_edge(sample: Sequence[Path]) -> int:
    """Pixels: the first of 32, 64, 96, 128 that the sample's median shorter side does not exceed, 128 beyond."""
    sides = []
    for path in sample:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of images that the feature pass will refuse in its own words
                with Image.open(path, formats=("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")) as image:
                    sides.append(min(image.size))
        except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue
    if not sides:
        return EDGES[1]
    median = float(np.median(sides))
    return next((edge for edge in EDGES if median <= edge), EDGES[-1])
