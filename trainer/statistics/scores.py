"""The scores of one split, checked once at the door, and the per-image losses that follow from them.

Nothing here changes the arrays that it is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bundle.errors import OnsightError
from bundle.manifest import Task

SPLITS: Final = ("train", "validation", "test")
_BLOCK_ELEMENTS: Final = 2_000_000  # 16 MB of float64 at a time, whatever the split's size


class InvalidScores(OnsightError):
    """Arrays that do not fit one another, their labels or their task."""

    code = "SCORES_INVALID"


@dataclass(frozen=True)
class SplitScores:
    """What a model said about one split, and what is true.

    logits: (N, C) float32, before temperature.
    truth: (N, C) bool, multi-hot; single-label: one True a row.
    image_ids: N relative paths, to name the worst predictions.
    """

    logits: NDArray[np.float32]
    truth: NDArray[np.bool_]
    image_ids: Sequence[str]

    @property
    def images(self) -> int:
        return len(self.logits)


def check_scores(task: Task, labels: Sequence[str], splits: Mapping[str, SplitScores]) -> dict[str, SplitScores]:
    """Return the splits that hold images, in the order train, validation, test.

    Raises InvalidScores for an unknown split name, arrays that do not fit, logits that are not finite, a single-label
    row without exactly one true label, and when no split holds an image.
    """
    unknown = sorted(set(splits) - set(SPLITS))
    if unknown:
        raise InvalidScores(f"splits: expected names out of {', '.join(SPLITS)}, found {', '.join(unknown)}.")
    if not labels or len(set(labels)) != len(labels):
        raise InvalidScores(f"labels: expected at least one, each once; found {len(labels)}, some twice or none.")
    for name, scores in splits.items():
        _check_split(task, len(labels), name, scores)
    held = {name: splits[name] for name in SPLITS if name in splits and splits[name].images}
    if not held:
        raise InvalidScores("splits: expected at least one with images, found none. Nothing can be measured.")
    return held


def _check_split(task: Task, classes: int, name: str, scores: SplitScores) -> None:
    wanted = (len(scores.image_ids), classes)
    for what, array in (("logits", scores.logits), ("truth", scores.truth)):
        if array.shape != wanted:
            raise InvalidScores(
                f"{name}: expected {what} of shape {wanted} (images, labels), found {array.shape}."
                " Score the split again with this model's labels."
            )
    if scores.truth.dtype != np.bool_:
        raise InvalidScores(f"{name}: expected truth of dtype bool, found {scores.truth.dtype}.")
    rows = int((~np.isfinite(scores.logits).all(axis=1)).sum()) if scores.images else 0
    if rows:
        raise InvalidScores(
            f"{name}: expected finite logits, found NaN or infinity in {rows} of {scores.images} rows."
            " The training diverged: lower the learning rate."
        )
    if task is Task.SINGLE_LABEL:
        wrong = int((scores.truth.sum(axis=1) != 1).sum())
        if wrong:
            raise InvalidScores(
                f"{name}: expected exactly one true label an image, found {wrong} images with none or several."
                " Train as multi-label, or give each image one label."
            )


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices over the rows that hold about two million elements each, so that float64 copies stay small."""
    step = max(1, _BLOCK_ELEMENTS // max(1, columns))
    for start in range(0, rows, step):
        yield slice(start, min(rows, start + step))


def image_losses(
    logits: NDArray[np.float32], truth: NDArray[np.bool_], task: Task, temperature: float = 1.0
) -> NDArray[np.float64]:
    """Cross-entropy of each image in nats: (N, C), (N, C) -> (N,).

    Single-label: minus the log of the true label's softmax probability. Multi-label: the mean over labels of the binary
    cross-entropy. Computed from the logits in float64, so a probability of 0 costs what it should and not infinity;
    equal to scikit-learn's log_loss wherever that does not clip.
    """
    losses = np.empty(len(logits), dtype=np.float64)
    for block in row_blocks(*logits.shape):
        scaled = logits[block].astype(np.float64) / temperature
        if task is Task.SINGLE_LABEL:
            top = scaled.max(axis=1)
            log_sum = np.log(np.exp(scaled - top[:, None]).sum(axis=1)) + top
            losses[block] = log_sum - np.where(truth[block], scaled, 0.0).sum(axis=1)
        else:
            # softplus(z) - y z, with softplus written so that exp never overflows
            softplus = np.maximum(scaled, 0.0) + np.log1p(np.exp(-np.abs(scaled)))
            losses[block] = (softplus - np.where(truth[block], scaled, 0.0)).mean(axis=1)
    return np.maximum(losses, 0.0)  # rounding may leave -1e-17
