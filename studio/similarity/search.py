"""Images that look like given ones, the most alike first."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from studio.similarity.store import ProjectFeatures

_SAMPLE: Final = 256  # images of each side that a label's candidates are compared with
_NEAREST: Final = 5


def scores_of(found: ProjectFeatures, wanted: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N,) the mean of each image's cosines with the wanted ones (n, LENGTH), in [-1, 1]."""
    centre = wanted.mean(axis=0)
    scores: NDArray[np.float32] = found.vectors @ centre
    return scores


def best(scores: NDArray[np.float32], among: NDArray[np.bool_], limit: int, threshold: float) -> NDArray[np.int64]:
    """Rows (n,) of the highest scores that reach the threshold, the highest first; of equals the earlier row."""
    rows = np.flatnonzero(among & (scores >= threshold))
    if len(rows) > 4 * limit:
        rows = rows[np.argpartition(-scores[rows], limit)[: limit + 1]]
        rows.sort()
    return rows[np.argsort(-scores[rows], kind="stable")][:limit]


def candidates_for(
    found: ProjectFeatures, has: NDArray[np.bool_], against: NDArray[np.bool_], seed: int = 0
) -> NDArray[np.float32]:
    """(N,) how much rather an image looks like those that have a label than like those that do not, in [-2, 2].

    has: (N,) images with the label.  against: (N,) images that are known not to be of it. The mean of the five highest
    cosines with either side, of a sample of each.
    """
    rng = np.random.default_rng(seed)
    return _nearness(found, has, rng) - _nearness(found, against, rng)


def _nearness(found: ProjectFeatures, side: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float32]:
    rows = np.flatnonzero(side)
    if not len(rows):
        return np.zeros(len(found), np.float32)
    if len(rows) > _SAMPLE:
        rows = np.sort(rng.choice(rows, _SAMPLE, replace=False))
    nearest = min(_NEAREST, len(rows))
    cosines = found.vectors @ found.vectors[rows].T  # (N,LENGTH) -> (N,n)
    top = np.partition(cosines, cosines.shape[1] - nearest, axis=1)[:, -nearest:]
    mean: NDArray[np.float32] = top.mean(axis=1)
    return mean
