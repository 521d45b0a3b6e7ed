"""Images to prove an imported model with: files of a folder, or, without one, images that this module makes.

Made ones are the same on every machine. They hold smooth colour, edges and grain, so that every layer has something to
do; what they cannot show is whether the labels are right.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bundle.errors import ImageError
from bundle.manifest import PreprocessSpec
from bundle.preprocess import preprocess
from exporter.errors import ExportError
from exporter.evidence import spread
from trainer.data.folders import list_images, require_folder

GENERATED: Final = 32
_LONG, _SHORT = 320, 240


def folder_images(folder: Path, spec: PreprocessSpec, count: int) -> list[bytes]:
    """Contents of up to `count` readable images of a folder, spread over it. Raises ExportError where there is none."""
    require_folder(folder)
    paths = list_images(folder).images
    kept = []
    for place in spread(np.arange(len(paths)), count):
        data = (folder / paths[place]).read_bytes()
        try:
            preprocess(data, spec)
        except ImageError:
            continue
        kept.append(data)
    if not kept:
        raise ExportError(f"{folder}: expected images to prove the model with, found none. Check --images.")
    return kept


def generated_files(count: int = GENERATED) -> list[bytes]:
    """PNG files, every second one upright."""
    files = []
    for place in range(count):
        size = (_LONG, _SHORT) if place % 2 else (_SHORT, _LONG)
        buffer = io.BytesIO()
        # Level 9 would take 5 s for files that are a third smaller.
        Image.fromarray(_picture(*size, place)).save(buffer, "PNG", compress_level=1)
        files.append(buffer.getvalue())
    return files


def generated_pixels(height: int, width: int, count: int) -> NDArray[np.uint8]:
    """uint8 (N,H,W,3)."""
    return np.stack([_picture(height, width, place) for place in range(count)])


def _picture(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Smooth colour from a few random points, blocks with edges, and grain on a part."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    picture = np.zeros((height, width, 3))
    for _ in range(4):
        y, x, reach = random.random(3)
        near = 1 / (1 + 20 * (reach + 0.1) * ((rows - y) ** 2 + (columns - x) ** 2))
        picture += near[..., None] * random.integers(0, 160, 3)
    for _ in range(int(random.integers(2, 7))):
        top, left = (random.random(2) * (height, width) * 0.8).astype(int)
        tall, wide = (random.random(2) * (height, width) * 0.4).astype(int) + 2
        picture[top : top + tall, left : left + wide] = random.integers(0, 256, 3)
    grain = random.integers(-24, 25, (height // 4, width // 4, 3))
    picture[: height // 4, : width // 4] += grain
    return picture.clip(0, 255).astype(np.uint8)
