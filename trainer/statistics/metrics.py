"""Metrics that follow from counts alone: precision, recall, F1, accuracy, Matthews correlation.

Every function takes leading axes (..., C), so that one implementation serves the measured value and all bootstrap
resamples at once. The values equal scikit-learn's with zero_division=0; its own functions count again at every call
(0.1 s for 100,000 images) and cannot take a thousand resamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Averaging = Literal["micro", "macro", "weighted"]
AVERAGINGS: Final[tuple[Averaging, ...]] = ("micro", "macro", "weighted")


@dataclass(frozen=True)
class Counts:
    """True positives, false positives and false negatives of each label, (..., C), among `images` images."""

    true_positives: Floats
    false_positives: Floats
    false_negatives: Floats
    images: int

    @property
    def true_negatives(self) -> Floats:
        return self.images - self.true_positives - self.false_positives - self.false_negatives

    @property
    def positives(self) -> Floats:
        """Images that carry the label: scikit-learn's support."""
        return self.true_positives + self.false_negatives

    @property
    def predicted(self) -> Floats:
        return self.true_positives + self.false_positives


@dataclass(frozen=True)
class Scores:
    """Precision, recall and F1, each a fraction in [0, 1]; the shape is that of the counts, less C where averaged."""

    precision: Floats
    recall: Floats
    f1: Floats


def confusion_matrix(truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """(N,), (N,) class indices -> (C, C) counts; rows are the truth, columns the prediction."""
    cells = np.bincount(truth * classes + predicted, minlength=classes * classes)
    return cells.reshape(classes, classes)  # (C*C,) -> (C, C)


def counts_from_confusion(matrix: NDArray[np.int64]) -> Counts:
    """One-vs-rest counts of each class out of a (C, C) confusion matrix."""
    hits = np.diagonal(matrix).astype(np.float64)
    return Counts(hits, matrix.sum(axis=0) - hits, matrix.sum(axis=1) - hits, int(matrix.sum()))


def counts_from_labels(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> Counts:
    """Counts of each label out of two (N, C) multi-hot arrays."""
    hits = np.count_nonzero(truth & predicted, axis=0).astype(np.float64)
    return Counts(
        hits, np.count_nonzero(predicted, axis=0) - hits, np.count_nonzero(truth, axis=0) - hits, images=len(truth)
    )


def per_class(counts: Counts) -> Scores:
    """Precision, recall and F1 of each label; 0 where nothing was predicted or nothing is true."""
    hits, wrong, missed = counts.true_positives, counts.false_positives, counts.false_negatives
    return Scores(_ratio(hits, hits + wrong), _ratio(hits, hits + missed), _ratio(2 * hits, 2 * hits + wrong + missed))


def averaged(counts: Counts, averaging: Averaging) -> Scores:
    """Precision, recall and F1 over all labels.

    micro: of the summed counts. macro: the plain mean over labels, also those without images (as scikit-learn does when
    it is told all labels). weighted: the mean weighted by the number of images that carry the label.
    """
    if averaging == "micro":
        summed = Counts(
            counts.true_positives.sum(axis=-1),
            counts.false_positives.sum(axis=-1),
            counts.false_negatives.sum(axis=-1),
            counts.images,
        )
        return per_class(summed)
    each = per_class(counts)
    if averaging == "macro":
        return Scores(each.precision.mean(axis=-1), each.recall.mean(axis=-1), each.f1.mean(axis=-1))
    weight = counts.positives
    total = weight.sum(axis=-1)
    return Scores(*(_ratio((weight * value).sum(axis=-1), total) for value in (each.precision, each.recall, each.f1)))


def per_class_accuracy(counts: Counts) -> Floats:
    """Share of images on which the label is right, present or absent: (..., C)."""
    return _ratio(counts.true_positives + counts.true_negatives, counts.images)


def per_class_matthews(counts: Counts) -> Floats:
    """Matthews correlation of each label against the rest, in [-1, 1]; 0 where it is undefined."""
    hits, wrong, missed, right = (
        counts.true_positives,
        counts.false_positives,
        counts.false_negatives,
        counts.true_negatives,
    )
    below = (hits + wrong) * (hits + missed) * (right + wrong) * (right + missed)
    return _ratio(hits * right - wrong * missed, np.sqrt(below))


def multiclass_matthews(counts: Counts) -> Floats:
    """Matthews correlation of a single-label task over all classes, in [-1, 1]; 0 where it is undefined.

    Images that got no label, because of a threshold, are a class of their own that none of them has in truth.
    Source: Gorodkin 2004, the form scikit-learn uses. Needs only the confusion matrix's diagonal and margins.
    """
    images = float(counts.images)
    hits = counts.true_positives.sum(axis=-1)
    covariance = hits * images - (counts.predicted * counts.positives).sum(axis=-1)
    unanswered = images - counts.predicted.sum(axis=-1)
    spread_predicted = images**2 - (counts.predicted**2).sum(axis=-1) - unanswered**2
    spread_true = images**2 - (counts.positives**2).sum(axis=-1)
    return _ratio(covariance, np.sqrt(spread_predicted * spread_true))


def _ratio(above: ArrayLike, below: ArrayLike) -> Floats:
    """above / below, and 0 where below is 0."""
    above, below = np.broadcast_arrays(np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64))
    ratio: Floats = np.divide(above, below, out=np.zeros(above.shape), where=below != 0)
    return ratio
