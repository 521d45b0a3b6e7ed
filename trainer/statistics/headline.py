"""The headline figures of a split with their bootstrap intervals: accuracy, averages, correlation, cross-entropy, mAP.

A value and its resamples go through the same function, once with the measured counts and once with the resampled ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainer.statistics import intervals, metrics

Interval = tuple[float, float] | None


def single_label_metrics(
    matrix: NDArray[np.int64], losses: NDArray[np.float64], resamples: int, rng: np.random.Generator
) -> tuple[dict[str, float | None], dict[str, Interval]]:
    """Values and intervals by name, from the (C, C) confusion matrix and the (N,) losses."""
    images = int(matrix.sum())
    drawn = intervals.resample_confusion(matrix, resamples, rng)
    samples = metrics.Counts(drawn.hits, drawn.predicted_totals - drawn.hits, drawn.true_totals - drawn.hits, images)

    measured = single_label_values(metrics.counts_from_confusion(matrix))
    values, bounds = _with_intervals(measured, single_label_values(samples))
    return _with_cross_entropy(values, bounds, losses, resamples, rng)


def multi_label_metrics(
    truth: NDArray[np.bool_],
    decided: NDArray[np.bool_],
    losses: NDArray[np.float64],
    resamples: int,
    rng: np.random.Generator,
) -> tuple[dict[str, float | None], dict[str, Interval]]:
    """Values and intervals by name, from (N, C) truth and decisions and the (N,) losses."""
    images, classes = truth.shape
    exact = (truth == decided).all(axis=1)
    columns = [truth & decided, decided & ~truth, truth & ~decided, exact[:, None]]
    per_image = np.concatenate(columns, axis=1).astype(np.float32)  # (N, 3C + 1)
    drawn = intervals.resample_sums(per_image, intervals.image_resamples(images, resamples), rng)  # (R, 3C + 1)
    hits, wrong, missed = (drawn[:, part * classes : (part + 1) * classes] for part in range(3))
    values, bounds = _with_intervals(
        multi_label_values(metrics.counts_from_labels(truth, decided), np.asarray(exact.sum(), dtype=np.float64)),
        multi_label_values(metrics.Counts(hits, wrong, missed, images), drawn[:, -1]),
    )
    return _with_cross_entropy(values, bounds, losses, resamples, rng)


def single_label_values(counts: metrics.Counts) -> dict[str, NDArray[np.float64]]:
    """What follows from the counts of a single-label split, (..., C) -> (...) each."""
    found = {"accuracy": counts.true_positives.sum(axis=-1) / counts.images}
    for averaging in ("macro", "weighted"):  # micro equals accuracy where each image has one label
        found |= _average_values(counts, averaging)
    return found | {"mcc": metrics.multiclass_matthews(counts)}


def multi_label_values(counts: metrics.Counts, exact_images: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """What follows from the counts of a multi-label split, (..., C) -> (...) each.

    exact_images: (...) images of which every label is right.
    """
    answers = counts.images * counts.true_positives.shape[-1]
    wrong = (counts.false_positives + counts.false_negatives).sum(axis=-1) / answers
    found = {"exact_match": exact_images / counts.images, "hamming_loss": wrong, "accuracy": 1 - wrong}
    for averaging in metrics.AVERAGINGS:
        found |= _average_values(counts, averaging)
    return found | {"mcc_macro": metrics.per_class_matthews(counts).mean(axis=-1)}


def _average_values(counts: metrics.Counts, averaging: metrics.Averaging) -> dict[str, NDArray[np.float64]]:
    average = metrics.averaged(counts, averaging)
    return {
        f"f1_{averaging}": average.f1,
        f"precision_{averaging}": average.precision,
        f"recall_{averaging}": average.recall,
    }


def _with_intervals(
    measured: dict[str, NDArray[np.float64]], sampled: dict[str, NDArray[np.float64]]
) -> tuple[dict[str, float | None], dict[str, Interval]]:
    values: dict[str, float | None] = {name: float(value) for name, value in measured.items()}
    return values, {name: intervals.percentile_interval(value) for name, value in sampled.items()}


def _with_cross_entropy(
    values: dict[str, float | None],
    bounds: dict[str, Interval],
    losses: NDArray[np.float64],
    resamples: int,
    rng: np.random.Generator,
) -> tuple[dict[str, float | None], dict[str, Interval]]:
    drawn = intervals.resample_sums(
        losses.astype(np.float32)[:, None], intervals.image_resamples(len(losses), resamples), rng
    )
    values["cross_entropy"] = float(losses.mean())
    bounds["cross_entropy"] = intervals.percentile_interval(drawn[:, 0] / len(losses))
    return values, bounds


def mean_average_precision(
    truth: NDArray[np.bool_],
    probabilities: NDArray[np.float32],
    average_precisions: Sequence[float | None],
    resamples: int,
    rng: np.random.Generator,
) -> tuple[float | None, Interval]:
    """The mean over labels that have images, as a label without any has no average precision."""
    held = [place for place, average_precision in enumerate(average_precisions) if average_precision is not None]
    if not held:
        return None, None
    value = float(np.mean([each for each in average_precisions if each is not None]))
    drawn = intervals.rank_resamples(truth.shape[0], truth.shape[1], resamples)
    if not drawn:
        return value, None
    ranked = [intervals.RankedLabel(truth[:, place], probabilities[:, place]) for place in held]
    sampled = intervals.resample_mean_average_precision(ranked, len(truth), drawn, rng)
    return value, intervals.percentile_interval(sampled)
