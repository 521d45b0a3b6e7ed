"""Images that show what another shows, cropped, mirrored or photographed again: features propose, thumbnails decide.

Order: for each image asked of, the nearest others by the cosine of their features, at most `NEAREST` of them and none
below `PROPOSED`; then the fingerprints' thumbnails are brought into line (windows of 80 to 100 % of either image, as it
is and mirrored) and have to correlate by at least `CONFIRMED`. Features alone are no proof: where all photos are of one
kind, such as hands before one wall, different ones are as near as copies. Fingerprints alone miss crops and mirrors.
Both limits were measured with two networks on three sets of photos: `python -m benchmarks.near_duplicates`.

Work is one product of matrices of those asked of and the others; memory is linear. Nothing here reads files.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from trainer.data.duplicates import FLAT, MAX_TINT
from trainer.data.fingerprint import HASH_BYTES, THUMBNAIL_SIDE

Rows = NDArray[np.int64]

PROPOSED: Final = 0.97  # cosine of `trainer.directions`
CONFIRMED: Final = 0.97  # correlation of aligned thumbnails
NEAREST: Final = 8
_SCALES: Final = (0.95, 0.9, 0.85, 0.8)
_PLACES: Final = (0.0, 0.5, 1.0)  # of a window in what it leaves free, along each axis
_CELLS: Final = THUMBNAIL_SIDE**2
_BLOCK: Final = 512


def find_look_alikes(
    vectors: NDArray[np.float32], fingerprints: NDArray[np.uint8], kinds: Rows, asked: Rows, others: Rows
) -> list[tuple[int, int]]:
    """Pairs (row, twin) of each asked row with the nearest other that shows the same; most rows have none.

    vectors: (N, L) float32 from `trainer.directions`.  fingerprints: (N, FINGERPRINT_BYTES) uint8.
    kinds: (N,) numbers; only rows of equal ones are compared.  asked, others: row numbers without a common one.
    """
    pairs: list[tuple[int, int]] = []
    for kind in np.unique(kinds[asked]).tolist():
        own, twins_of_kind = asked[kinds[asked] == kind], others[kinds[others] == kind]
        there = vectors[twins_of_kind]
        for start in range(0, len(own), _BLOCK):
            rows = own[start : start + _BLOCK]
            ones, twins, nearness = _nearest(vectors[rows] @ there.T)  # (B,L) -> (B,O)
            ones, twins = rows[ones], twins_of_kind[twins]
            same = aligned_correlation(fingerprints[ones], fingerprints[twins]) >= CONFIRMED
            ones, twins, nearness = ones[same], twins[same], nearness[same]
            order = np.lexsort((twins, -nearness, ones))
            first = order[np.flatnonzero(np.diff(ones[order], prepend=-1))]
            pairs += zip(ones[first].tolist(), twins[first].tolist(), strict=True)
    return sorted(pairs)


def aligned_correlation(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How well two images' thumbnails agree where a window of either is laid over the whole other one.

    one, other: (P, FINGERPRINT_BYTES) uint8. Returns (P,) float32, the highest correlation of all windows, in [-1, 1];
    -1 where a thumbnail is plain, or their overall colours differ by more than `MAX_TINT` grey levels.
    """
    best = np.full(len(one), -1, np.float32)
    for start in range(0, len(one), _BLOCK):
        part = slice(start, start + _BLOCK)
        best[part] = _best_window(_cells(one[part]), _cells(other[part]))
    return best


def _nearest(cosines: NDArray[np.float32]) -> tuple[Rows, Rows, NDArray[np.float32]]:
    """Of each row the `NEAREST` columns of those that reach `PROPOSED`: rows, columns, cosines."""
    if cosines.shape[1] > NEAREST:
        full = np.flatnonzero((cosines >= PROPOSED).sum(axis=1) > NEAREST)
        crowded = cosines[full]
        floor = np.partition(crowded, -NEAREST, axis=1)[:, -NEAREST]
        crowded[crowded < floor[:, None]] = -1
        cosines[full] = crowded
    ones, twins = np.nonzero(cosines >= PROPOSED)
    return ones, twins, cosines[ones, twins]


def _best_window(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Both (P, 64, 3). All windows at once: what a window W gives of thumbnail a is W a, and b . W a = W . (b a^T)."""
    windows, squares = _windows()
    means = one.mean(axis=1), other.mean(axis=1)  # (P,3) each
    one, other = one - means[0][:, None], other - means[1][:, None]
    crossed = other @ one.transpose(0, 2, 1)  # (P,64,3) @ (P,3,64) -> (P,64,64)
    best = np.full(len(one), -1, np.float32)
    for a, b, product in ((one, other, crossed), (other, one, crossed.transpose(0, 2, 1))):
        along = product.reshape(len(a), -1) @ windows.T  # (P,4096) @ (4096,W)
        seen_square = (a @ a.transpose(0, 2, 1)).reshape(len(a), -1) @ squares.T
        length = np.sqrt(np.maximum(seen_square, 0))
        whole = np.sqrt(np.square(b).sum(axis=(1, 2)))[:, None]
        contrast = np.minimum(length, whole) > FLAT * np.sqrt(_CELLS * 3)
        correlations = np.divide(along, length * whole, out=np.full_like(along, -1), where=contrast)
        np.maximum(best, correlations.max(axis=1), out=best)
    tints = [mean[:, (0, 2)] - mean[:, 1:2] for mean in means]  # (P,2): red and blue against green
    best[np.abs(tints[0] - tints[1]).max(axis=1) > MAX_TINT] = -1
    return best


def _cells(fingerprints: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Thumbnails (P, 64, 3)."""
    return fingerprints[:, HASH_BYTES:].reshape(-1, _CELLS, 3).astype(np.float32)


@lru_cache(maxsize=1)
def _windows() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """W windows of a thumbnail, half of them mirrored, and what gives the square of the contrast in each.

    Both (W, 4096): a (64, 64) matrix a row, which makes of a thumbnail's cells those of the window, or with the cells
    on both its sides the sum of their squares about their mean.
    """
    boxes = {(0.0, 0.0, 1.0)} | {((1 - s) * y, (1 - s) * x, s) for s in _SCALES for y in _PLACES for x in _PLACES}
    made = []
    for top, left, scale in sorted(boxes):
        down, across = _stretch(top, scale), _stretch(left, scale)
        made += [np.kron(down, across), np.kron(down, across[::-1])]
    windows = np.stack(made)  # (W,64,64)
    about_mean = np.eye(_CELLS) - 1 / _CELLS
    squares = windows.transpose(0, 2, 1) @ about_mean @ windows
    return windows.reshape(len(made), -1).astype(np.float32), squares.reshape(len(made), -1).astype(np.float32)


def _stretch(begin: float, share: float) -> NDArray[np.float64]:
    """(8, 8): the cells of a part of a line from those of the whole, by a spline through their running sum."""
    edges = np.arange(THUMBNAIL_SIDE + 1) / THUMBNAIL_SIDE
    running = np.vstack([np.zeros(THUMBNAIL_SIDE), np.tri(THUMBNAIL_SIDE)])
    stretched: NDArray[np.float64] = np.diff(
        CubicSpline(edges, running, bc_type="natural")(begin + share * edges), axis=0
    )
    return stretched / share
