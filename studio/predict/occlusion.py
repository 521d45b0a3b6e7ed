"""Where in an image the evidence for a label lies: cover a part, ask the model again, see how much the label loses.

In this order: the whole image; how long that takes, hence how fine a grid the time allows; a window of two cells by two
at every place of the grid, each a cell further on; of each cell the mean loss of the windows that cover it. Needs
nothing of the model but its answers.
Source: Zeiler and Fergus 2014, section 4.2 (occlusion sensitivity); here the loss is one of log-odds, which does not
saturate where the model is certain.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bundle.manifest import Task
from server.models.model import ServedModel

COARSEST: Final = 4
FINEST: Final = 20
TIMED_RUNS: Final = 3
BATCH: Final = 16


@dataclass(frozen=True, slots=True)
class Heatmap:
    """values: (R, R) float32, loss of log-odds where the cell is covered; positive: it speaks for the label.

    probability: of the label for the whole image.  evaluations: answers that were asked for.
    """

    values: NDArray[np.float32]
    probability: float
    evaluations: int
    seconds: float


def occlusion_map(
    model: ServedModel, image: NDArray[np.uint8], label: int, budget_s: float, now: Callable[[], float] = monotonic
) -> Heatmap:
    """image: (H, W, 3) uint8, as the model takes it.  label: its place.  budget_s: about how long it may take.

    Raises EngineError, Overloaded.
    """
    began = now()
    task = model.manifest.task
    for _ in range(TIMED_RUNS):
        probabilities, logits = model.infer_arrays(image[np.newaxis])  # (1,H,W,3) -> (1,C) twice
    one_s = max((now() - began) / TIMED_RUNS, 1e-5)
    whole = float(_log_odds(logits, label, task)[0])
    cells = min(FINEST, max(COARSEST, math.isqrt(int(budget_s / one_s)) - 1), *image.shape[:2])
    rows, columns = (_edges(side, cells) for side in image.shape[:2])
    colour = np.rint(image.reshape(-1, 3).mean(axis=0)).astype(np.uint8)  # (H,W,3) -> (H*W,3) -> (3,)
    # Windows begin one cell before the image, so that each cell lies in four of them.
    places = [(row, column) for row in range(-1, cells) for column in range(-1, cells)]
    total, count = np.zeros((cells, cells)), np.zeros((cells, cells))
    for at in range(0, len(places), BATCH):
        batch = places[at : at + BATCH]
        covered = np.repeat(image[np.newaxis], len(batch), axis=0)  # (H,W,3) -> (N,H,W,3)
        for number, (row, column) in enumerate(batch):
            top, bottom = rows[max(row, 0)], rows[min(row + 2, cells)]
            left, right = columns[max(column, 0)], columns[min(column + 2, cells)]
            covered[number, top:bottom, left:right] = colour
        losses = whole - _log_odds(model.infer_arrays(covered)[1], label, task)
        for (row, column), loss in zip(batch, losses.tolist(), strict=True):
            window = np.s_[max(row, 0) : row + 2, max(column, 0) : column + 2]
            total[window] += loss
            count[window] += 1
    values = (total / count).astype(np.float32)
    return Heatmap(values, float(probabilities[0, label]), TIMED_RUNS + len(places), now() - began)


def _edges(pixels: int, cells: int) -> list[int]:
    """Where cells begin and end."""
    return [round(pixels * number / cells) for number in range(cells + 1)]


def _log_odds(logits: NDArray[np.float32], label: int, task: Task) -> NDArray[np.float64]:
    """(N, C) -> (N,): of the label against not the label."""
    values = logits.astype(np.float64)
    if task is Task.MULTI_LABEL or values.shape[1] == 1:
        return values[:, label]
    others = np.delete(values, label, axis=1)  # (N,C) -> (N,C-1)
    top = others.max(axis=1)
    return values[:, label] - top - np.log(np.exp(others - top[:, np.newaxis]).sum(axis=1))  # type: ignore[no-any-return]
