"""The figures of a split at any thresholds, at once: counts come out of sorted scores, not out of all images again.

Average precision, cross-entropy and calibration do not depend on thresholds and stand in the statistics document.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bundle.manifest import Frozen, Task
from studio.analysis.scores import Scored
from trainer.statistics import metrics
from trainer.statistics.document import Average, ClassMetrics, ConfusionMatrix
from trainer.statistics.headline import multi_label_values, single_label_values
from trainer.statistics.splits import averages_of, class_metrics


class Measured(Frozen):
    """A split at the given thresholds."""

    images: int
    answered: int = Field(description="images that got at least one label")
    thresholds: tuple[float, ...]
    metrics: dict[str, float]
    averages: dict[str, Average] = Field(description="micro, macro, weighted")
    classes: tuple[ClassMetrics, ...]


def measure(scored: Scored, thresholds: NDArray[np.float32]) -> Measured:
    """thresholds: (C,) float32. Single-label: the most probable label counts where it reaches its threshold."""
    counts = counts_at(scored, thresholds)
    if scored.task is Task.SINGLE_LABEL:
        values = single_label_values(counts)
        answered = int(counts.predicted.sum())
    else:
        exact, answered = _exact_and_answered(scored, thresholds)
        values = multi_label_values(counts, np.asarray(exact, np.float64))
    return Measured(
        images=len(scored),
        answered=answered,
        thresholds=tuple(float(f"{value:.6g}") for value in thresholds.tolist()),
        metrics={name: float(value) for name, value in values.items()} | {"cross_entropy": float(scored.losses.mean())},
        averages=averages_of(counts),
        classes=class_metrics(scored.labels, counts, scored.average_precisions),
    )


def counts_at(scored: Scored, thresholds: NDArray[np.float32]) -> metrics.Counts:
    """(C,) true positives, false positives and false negatives at thresholds (C,)."""
    ranked = scored.ranked
    reached = [_count_from(scores, cut) for scores, cut in zip(ranked.candidates, thresholds, strict=True)]
    hits = np.array([_count_from(scores, cut) for scores, cut in zip(ranked.hits, thresholds, strict=True)], np.float64)
    return metrics.Counts(hits, np.array(reached, np.float64) - hits, ranked.positives - hits, len(scored))


def confusion(scored: Scored, thresholds: NDArray[np.float32]) -> ConfusionMatrix | None:
    """Truth by prediction, with a last column for "no answer"; None for a multi-label model, which has none."""
    if scored.task is Task.MULTI_LABEL:
        return None
    classes = len(scored.labels)
    answered = scored.probabilities[np.arange(len(scored)), scored.top] >= thresholds[scored.top]
    predicted = np.where(answered, scored.top, classes)
    matrix = metrics.confusion_matrix(scored.truth.argmax(axis=1), predicted, classes + 1)
    rows, columns = np.nonzero(matrix)
    cells = zip(rows.tolist(), columns.tolist(), matrix[rows, columns].tolist(), strict=True)
    return ConfusionMatrix(classes=classes + 1, cells=tuple(cells))


def _exact_and_answered(scored: Scored, thresholds: NDArray[np.float32]) -> tuple[int, int]:
    """Images of which every label is right, and images that got any; for multi-label.

    A label at a time: what is worked on stays N booleans, where (N, C) of them would leave the processor's cache.
    """
    wrong, claimed = np.zeros(len(scored), np.bool_), np.zeros(len(scored), np.bool_)
    for place, threshold in enumerate(thresholds):
        said = scored.probabilities[:, place] >= threshold
        claimed |= said
        wrong |= said != scored.truth[:, place]
    return len(scored) - int(np.count_nonzero(wrong)), int(np.count_nonzero(claimed))


def _count_from(ascending: NDArray[np.float32], cut: np.float32) -> int:
    return len(ascending) - int(np.searchsorted(ascending, cut, side="left"))
