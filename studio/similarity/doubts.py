"""Labels that are likely wrong, before anything was trained: an image whose nearest neighbours agree on another label.

Source: the nearest-neighbour rule of Wilson 1972, "Asymptotic Properties of Nearest Neighbor Rules Using Edited Data".
Neighbours that are near-duplicates of each other's count once each all the same: the finder proposes, a person decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

AGREE: Final = 0.6  # share of the labelled neighbours that carry the other label
LEFT: Final = 0.2  # at most this share carries the image's own
_FEWEST: Final = 5


@dataclass(frozen=True, slots=True)
class Doubt:
    """row: of the features.  add, remove: labels' places.  share: of the neighbours that carry `add`, in [0, 1]."""

    row: int
    add: int
    remove: int
    share: float


def doubts(nearest: NDArray[np.int64], default: NDArray[np.int64], labels: int) -> list[Doubt]:
    """nearest: (N, k).  default: (N,) place of each image's default label, -1 for none. The most certain first."""
    if not len(nearest) or not nearest.shape[1]:
        return []
    around = default[nearest]  # (N,k)
    labelled = (around >= 0).sum(axis=1)
    found = []
    for row in np.flatnonzero((default >= 0) & (labelled >= _FEWEST)).tolist():
        counts = np.bincount(around[row][around[row] >= 0], minlength=labels)
        shares = counts / labelled[row]
        other = int(shares.argmax())
        if other != default[row] and shares[other] >= AGREE and shares[default[row]] <= LEFT:
            found.append(Doubt(row, other, int(default[row]), float(shares[other])))
    return sorted(found, key=lambda doubt: (-doubt.share, doubt.row))
