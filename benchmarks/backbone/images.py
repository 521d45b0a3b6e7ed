"""The pretraining images: archives of class folders of small JPEGs -> one uint8 array, decoded once."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

EDGE = 64  # pixels


@dataclass(frozen=True)
class Pictures:
    """pixels: (N,64,64,3) uint8.  labels: (N,) int64, places in `classes`, which are folder names in order."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]


def read_pictures(archives: Sequence[Path], limit: int | None = None) -> Pictures:
    """Read tar archives of CLASS/NAME.JPEG, in the order of their names, whichever archive holds them.

    limit: at most so many, evenly spaced.  Raises ValueError where there are none, or one has another size.
    """
    found: list[tuple[str, bytes]] = []
    for archive in archives:
        with tarfile.open(archive) as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isfile() else None
                if file is not None and member.name.lower().endswith((".jpeg", ".jpg")):
                    found.append((member.name.removeprefix("./"), file.read()))
    if not found:
        raise ValueError(f"{', '.join(map(str, archives))}: expected CLASS/NAME.JPEG in these archives, found none")
    found.sort()
    if limit is not None and limit < len(found):
        found = [found[int(place)] for place in np.linspace(0, len(found) - 1, limit)]
    folders = [PurePosixPath(name).parent.name for name, _ in found]
    classes = tuple(sorted(set(folders)))
    place_of = {name: place for place, name in enumerate(classes)}
    pixels = np.zeros((len(found), EDGE, EDGE, 3), np.uint8)

    def decode(place: int) -> None:
        name, data = found[place]
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            if image.size != (EDGE, EDGE):
                raise ValueError(f"{name}: expected {EDGE}x{EDGE} pixels, found {image.width}x{image.height}")
            pixels[place] = np.asarray(image.convert("RGB"))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(decode, range(len(found)), chunksize=256))
    return Pictures(pixels, np.asarray([place_of[folder] for folder in folders], np.int64), classes)
