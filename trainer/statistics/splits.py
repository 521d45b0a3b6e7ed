"""Everything measured on one split, once temperature, thresholds and the energy threshold are fixed.

Probabilities are taken after the temperature. Single-label decisions are the most probable label, multi-label ones the
labels whose probability reaches their threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bundle.decide import energy, probabilities_from_logits
from bundle.manifest import MetricEstimate, Task
from trainer.statistics import intervals, metrics
from trainer.statistics.calibration import ReliabilityBins, reliability
from trainer.statistics.curves import RankCurve, curve_points, rank_curve, thin
from trainer.statistics.document import (
    Average,
    Bootstrap,
    ClassMetrics,
    ConfusionMatrix,
    ImagePrediction,
    LabelProbability,
    PrecisionRecallCurve,
    Reliability,
    ReliabilityBin,
    SplitCalibration,
    SplitStatistics,
)
from trainer.statistics.headline import Interval, mean_average_precision, multi_label_metrics, single_label_metrics
from trainer.statistics.scores import SplitScores, image_losses, row_blocks

WORST_KEPT: Final = 24
_TOP_KEPT: Final = 5
_POOLED_LARGEST: Final = 5_000_000  # scores above which the pooled curve is left out: its sort takes seconds


@dataclass(frozen=True)
class Settings:
    """What is the same for every split of a model.

    thresholds: (C,) float64, best F1 of each label against the rest; single-label decisions do not use them.
    """

    task: Task
    labels: tuple[str, ...]
    temperature: float
    thresholds: NDArray[np.float64]
    energy_threshold: float
    resamples: int


def split_probabilities(logits: NDArray[np.float32], task: Task, temperature: float) -> NDArray[np.float32]:
    """(N, C) logits -> (N, C) float32 probabilities, in blocks of rows so that float64 never holds the whole."""
    probabilities = np.empty(logits.shape, dtype=np.float32)
    for block in row_blocks(*logits.shape):
        probabilities[block] = probabilities_from_logits(logits[block], task, temperature)
    return probabilities


def split_energy(logits: NDArray[np.float32], task: Task) -> NDArray[np.float32]:
    """(N, C) logits -> (N,) float32 energy."""
    return np.concatenate([energy(logits[block], task) for block in row_blocks(*logits.shape)])


def split_statistics(scores: SplitScores, settings: Settings, rng: np.random.Generator) -> SplitStatistics:
    """Measure one split that holds at least one image."""
    task, truth = settings.task, scores.truth
    probabilities = split_probabilities(scores.logits, task, settings.temperature)
    losses = image_losses(scores.logits, truth, task, settings.temperature)
    decided = decisions(probabilities, settings)
    curves = _curves(truth, probabilities, settings)
    before = reliability(split_probabilities(scores.logits, task, 1.0), truth, task)
    after = reliability(probabilities, truth, task)

    matrix = None
    if task is Task.SINGLE_LABEL:
        matrix = metrics.confusion_matrix(truth.argmax(axis=1), decided.argmax(axis=1), len(settings.labels))
        counts = metrics.counts_from_confusion(matrix)
        values, bounds = single_label_metrics(matrix, losses, settings.resamples, rng)
    else:
        counts = metrics.counts_from_labels(truth, decided)
        values, bounds = multi_label_metrics(truth, decided, losses, settings.resamples, rng)
    values["mean_average_precision"], bounds["mean_average_precision"] = mean_average_precision(
        truth, probabilities, [None if curve is None else curve.average_precision for curve in curves],
        settings.resamples, rng,
    )  # fmt: skip
    values["expected_calibration_error"] = after.expected_calibration_error
    return SplitStatistics(
        images=scores.images,
        label_counts={label: int(count) for label, count in zip(settings.labels, counts.positives, strict=True)},
        metrics={name: _estimate(value, bounds.get(name)) for name, value in values.items() if value is not None},
        averages=averages_of(counts),
        classes=class_metrics(
            settings.labels, counts, [None if curve is None else curve.average_precision for curve in curves]
        ),
        confusion=None if matrix is None else _confusion(matrix),
        pooled_curve=_pooled_curve(truth, probabilities),
        curves=tuple(curve for curve in curves if curve is not None),
        calibration=SplitCalibration(before=_reliability(before), after=_reliability(after)),
        known_rejected_fraction=float(
            np.mean(split_energy(scores.logits, task) < np.float32(settings.energy_threshold))
        ),
        worst=_worst(scores, probabilities, decided, losses, settings.labels),
        bootstrap=Bootstrap(
            confidence=intervals.CONFIDENCE,
            count_resamples=_count_resamples(scores.images, settings),
            image_resamples=intervals.image_resamples(scores.images, settings.resamples),
            average_precision_resamples=intervals.rank_resamples(
                scores.images, len(settings.labels), settings.resamples
            ),
        ),
    )


def averages_of(counts: metrics.Counts) -> dict[str, Average]:
    """Micro, macro and weighted, out of counts (C,)."""
    return {name: _average(metrics.averaged(counts, name)) for name in metrics.AVERAGINGS}


def class_metrics(
    labels: Sequence[str], counts: metrics.Counts, average_precisions: Sequence[float | None]
) -> tuple[ClassMetrics, ...]:
    """Every label against the rest, out of counts (C,)."""
    each = metrics.per_class(counts)
    accuracy, matthews = metrics.per_class_accuracy(counts), metrics.per_class_matthews(counts)
    return tuple(
        ClassMetrics(
            label=label,
            images=int(counts.positives[place]),
            predicted=int(counts.predicted[place]),
            accuracy=float(accuracy[place]),
            precision=float(each.precision[place]),
            recall=float(each.recall[place]),
            f1=float(each.f1[place]),
            mcc=float(matthews[place]),
            average_precision=average_precisions[place],
        )
        for place, label in enumerate(labels)
    )


def decisions(probabilities: NDArray[np.float32], settings: Settings) -> NDArray[np.bool_]:
    """(N, C) probabilities -> (N, C) multi-hot decisions; of equal probabilities the first label wins."""
    if settings.task is Task.MULTI_LABEL:
        return probabilities >= settings.thresholds.astype(np.float32)
    decided = np.zeros(probabilities.shape, dtype=np.bool_)
    decided[np.arange(len(probabilities)), probabilities.argmax(axis=1)] = True
    return decided


def _count_resamples(images: int, settings: Settings) -> int:
    single = settings.task is Task.SINGLE_LABEL
    return settings.resamples if single else intervals.image_resamples(images, settings.resamples)


def _estimate(value: float, bounds: Interval) -> MetricEstimate:
    return MetricEstimate(value=value) if bounds is None else MetricEstimate(value=value, low=bounds[0], high=bounds[1])


def _average(scores: metrics.Scores) -> Average:
    return Average(precision=float(scores.precision), recall=float(scores.recall), f1=float(scores.f1))


def _confusion(matrix: NDArray[np.int64]) -> ConfusionMatrix:
    rows, columns = np.nonzero(matrix)
    cells = zip(rows.tolist(), columns.tolist(), matrix[rows, columns].tolist(), strict=True)
    return ConfusionMatrix(classes=len(matrix), cells=tuple(cells))


def _reliability(binned: ReliabilityBins) -> Reliability:
    width = 1 / len(binned.count)
    return Reliability(
        expected_calibration_error=binned.expected_calibration_error,
        bins=tuple(
            ReliabilityBin(
                lower=place * width,
                upper=(place + 1) * width,
                count=int(count),
                confidence=float(binned.confidence[place]) if count else None,
                accuracy=float(binned.accuracy[place]) if count else None,
            )
            for place, count in enumerate(binned.count)
        ),
    )


def _curves(
    truth: NDArray[np.bool_], probabilities: NDArray[np.float32], settings: Settings
) -> list[PrecisionRecallCurve | None]:
    """One a label, None where no image carries it. Only thinned ones are kept: all full ones are 24 bytes a score."""
    accepted = probabilities >= settings.thresholds.astype(np.float32)
    at_threshold = metrics.per_class(metrics.counts_from_labels(truth, accepted))
    points = curve_points(len(settings.labels))
    curves: list[PrecisionRecallCurve | None] = []
    for place, label in enumerate(settings.labels):
        curve = rank_curve(truth[:, place], probabilities[:, place])
        # with nothing accepted the point belongs to no place on the curve
        point = (float(at_threshold.recall[place]), float(at_threshold.precision[place]))
        chosen = point if accepted[:, place].any() else None
        threshold = float(settings.thresholds[place])
        curves.append(
            None if curve is None else _stored_curve(curve, points, label=label, threshold=threshold, point=chosen)
        )
    return curves


def _pooled_curve(truth: NDArray[np.bool_], probabilities: NDArray[np.float32]) -> PrecisionRecallCurve | None:
    if truth.size > _POOLED_LARGEST:
        return None
    curve = rank_curve(truth.ravel(), probabilities.ravel())  # (N, C) -> (N*C,)
    return None if curve is None else _stored_curve(curve, curve_points(1))


def _stored_curve(
    curve: RankCurve,
    points: int,
    label: str | None = None,
    threshold: float | None = None,
    point: tuple[float, float] | None = None,
) -> PrecisionRecallCurve:
    kept = thin(curve, points)
    return PrecisionRecallCurve(
        label=label,
        average_precision=curve.average_precision,
        recall=tuple(kept.recall.tolist()),
        precision=tuple(kept.precision.tolist()),
        threshold=tuple(kept.threshold.tolist()),
        chosen_threshold=threshold,
        chosen_recall=None if point is None else point[0],
        chosen_precision=None if point is None else point[1],
    )


def _worst(
    scores: SplitScores,
    probabilities: NDArray[np.float32],
    decided: NDArray[np.bool_],
    losses: NDArray[np.float64],
    labels: Sequence[str],
) -> tuple[ImagePrediction, ...]:
    """The images with the highest loss, worst first; of equal losses in the split's order."""
    order = np.argsort(-losses, kind="stable")[:WORST_KEPT]
    return tuple(
        prediction_of(labels, scores.image_ids[row], scores.truth[row], probabilities[row], decided[row], loss)
        for row, loss in zip(order.tolist(), losses[order].tolist(), strict=True)
    )


def prediction_of(
    labels: Sequence[str],
    image_id: str,
    truth: NDArray[np.bool_],
    probabilities: NDArray[np.float32],
    decided: NDArray[np.bool_],
    loss: float,
) -> ImagePrediction:
    """One image in words. truth, probabilities, decided: (C,)."""

    def named(places: NDArray[np.intp]) -> tuple[LabelProbability, ...]:
        return tuple(LabelProbability(label=labels[place], probability=float(probabilities[place])) for place in places)

    ranked = np.argsort(-probabilities, kind="stable")
    return ImagePrediction(
        image_id=image_id,
        loss=loss,
        correct=bool((decided == truth).all()),
        truth=named(np.flatnonzero(truth)),
        decided=named(ranked[decided[ranked]]),
        top=named(ranked[:_TOP_KEPT]),
    )
