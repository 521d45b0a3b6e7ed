"""What an image looks like in 200 bytes: two independent opinions, so that near-duplicates can be found without pixels.

The image is averaged to 32x32. Bytes 0..7 are a perceptual hash (the signs of its 8x8 lowest DCT frequencies in luma,
against their median); bytes 8..199 are its 8x8 RGB thumbnail. Two images are compared in `trainer.data.duplicates`:
the hash proposes, the thumbnail confirms. A small object on a plain ground (an icon, a scanned digit) is cut out first,
since two such images would otherwise differ in a few cells only. Nothing here reads files or decides anything.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HASH_BYTES: Final = 8
THUMBNAIL_SIDE: Final = 8
THUMBNAIL_BYTES: Final = THUMBNAIL_SIDE * THUMBNAIL_SIDE * 3
FINGERPRINT_BYTES: Final = HASH_BYTES + THUMBNAIL_BYTES

_GRID: Final = 64
_SIDE: Final = 32
_CELL: Final = _SIDE // THUMBNAIL_SIDE
_LUMA: Final = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
_DCT: Final = np.cos(np.pi * (2 * np.arange(_SIDE) + 1) * np.arange(8)[:, None] / (2 * _SIDE)).astype(np.float32)

_PLAIN: Final = 4  # grey levels by which the border of a plain ground varies at most
_OBJECT: Final = 32  # grey levels by which an object differs from its ground at least
_SMALL: Final = 0.25  # share of the area: a larger object is left where it is


def fingerprint(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Describe what an image looks like.

    image: (H, W, 3) uint8 RGB, any size; compare only images that went through the same preprocessing.
    Returns (FINGERPRINT_BYTES,) uint8: hash, then thumbnail by rows.  Raises ValueError for another shape or dtype.
    Source: the DCT hash is the one known as pHash (Zauner 2010, section 3.2.1).
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ValueError(f"expected a uint8 image of shape (H, W, 3), found {image.dtype} {image.shape}")
    return fingerprint_picture(Image.fromarray(image))


def fingerprint_picture(picture: Image.Image) -> NDArray[np.uint8]:
    """`fingerprint` of a Pillow image of mode RGB."""
    grid = picture.resize((_GRID, _GRID), Image.Resampling.BOX, reducing_gap=1.0)
    box = _small_object(np.asarray(grid))
    small = grid.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR, box=box) if box else grid.reduce(_GRID // _SIDE)
    pixels = np.asarray(small, dtype=np.float32)  # (32,32,3)
    spectrum = (_DCT @ (pixels @ _LUMA) @ _DCT.T).ravel()  # (32,32) -> (64,), row order, [0] is the mean
    median = np.sort(spectrum[1:])[31]  # of the 63 that are not the mean
    cells = pixels.reshape(THUMBNAIL_SIDE, _CELL, THUMBNAIL_SIDE, _CELL, 3)
    out = np.empty(FINGERPRINT_BYTES, dtype=np.uint8)
    out[:HASH_BYTES] = np.packbits(spectrum > median)
    out[HASH_BYTES:] = (cells.sum(axis=3).sum(axis=1) * (1 / _CELL**2) + 0.5).astype(np.uint8).ravel()
    return out


def _small_object(grid: NDArray[np.uint8]) -> tuple[float, float, float, float] | None:
    """The box (left, top, right, bottom) of a small object on a plain ground, in grid cells; None for other images."""
    ground = grid[0, 0].astype(np.int16)
    if any(np.ptp(edge, axis=0).max() > _PLAIN for edge in (grid[0], grid[:, 0], grid[-1], grid[:, -1])):
        return None
    object_ = np.abs(grid - ground).max(axis=2) > _OBJECT  # (64,64)
    rows, columns = np.flatnonzero(object_.any(axis=1)), np.flatnonzero(object_.any(axis=0))
    if len(rows) == 0:
        return None
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    if (bottom - top) * (right - left) > _SMALL * _GRID**2:
        return None
    return left, top, right, bottom
