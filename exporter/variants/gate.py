"""The gate: a variant's answers on held-out images against full precision's, as a certificate.

In this order: choose the images (test, else validation), answer them with the variant, compare with the recorded scores
of full precision, which the parity proof has tied to the trained network. Says what was measured; whether it passes
follows from the certificate. Never sees a training image.

The limit on the loss is one on the measured figure, not on its interval: on a few hundred images an interval is wider
than the limit whatever the variant. What makes a lucky figure unlikely is the agreement beside it: answers that stay as
they are cannot have become worse.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bundle.cores import usable_cores
from bundle.decide import energy, probabilities_from_logits
from bundle.golden import Infer
from bundle.manifest import Certificate, GateLimits, MetricEstimate, PreprocessSpec, Task
from bundle.preprocess import preprocess
from exporter.errors import ExportError
from exporter.evidence import spread, unchanged_images
from trainer.data.snapshot import Snapshot
from trainer.data.split import Split
from trainer.statistics import Statistics, intervals

LEAST_IMAGES = 16
MOST_IMAGES = 2000  # of a split: their answers differ by less than the limits can tell
RESAMPLES = 1000
MOST_TOLERANCE = 0.25  # of a probability: at 0.5, of two labels, a model that always says one half would pass
SEED = 0


@dataclass(frozen=True)
class HeldOut:
    """Images of one split.  full, variant: (N,C) float32 logits of both forms.  truth: (N,C) bool."""

    split: Split
    full: NDArray[np.float32]
    variant: NDArray[np.float32]
    truth: NDArray[np.bool_]


def answer_held_out(
    snapshot: Snapshot, root: Path, spec: PreprocessSpec, recorded: NDArray[np.float32], infer: Infer
) -> HeldOut:
    """Ask the variant about the test images, or the validation images where there are no test images.

    recorded: (images of the snapshot, C) logits in full precision.  Raises ExportError where too few images are left.
    """
    split = Split.TEST if len(snapshot.rows(Split.TEST)) else Split.VALIDATION
    rows = spread(snapshot.rows(split), MOST_IMAGES)

    def answer(data: bytes) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = infer(preprocess(data, spec)[None])[1][0]  # (1,H,W,3) -> (C,)
        return logits

    found: list[int] = []

    def contents() -> Iterator[bytes]:
        for row, data in unchanged_images(snapshot, root, rows.tolist()):
            found.append(row)
            yield data

    with ThreadPoolExecutor(usable_cores()) as pool:
        logits = list(pool.map(answer, contents()))
    if len(found) < LEAST_IMAGES:
        raise ExportError(
            f"expected at least {LEAST_IMAGES} unchanged {split.value} images to measure it on, found {len(found)}"
        )
    if not np.isfinite(logits).all():
        raise ExportError(f"expected finite scores of {len(found)} {split.value} images, found others")
    return HeldOut(split, recorded[found], np.stack(logits), snapshot.label_matrix[found])


def measure(
    held_out: HeldOut, task: Task, statistics: Statistics, limits: GateLimits, provider: str, kernel_spread: float
) -> Certificate:
    """The certificate. kernel_spread: largest difference of a probability between two kinds of kernels, same images.

    Raises ExportError where the images carry no label to measure by.
    """
    exclusive, temperature = task is Task.SINGLE_LABEL, statistics.calibration.temperature
    truth = held_out.truth
    full, variant = (probabilities_from_logits(each, task, temperature) for each in (held_out.full, held_out.variant))
    if exclusive:
        same = full.argmax(1) == variant.argmax(1)
        values, loss = _accuracies(truth, full, variant)
    else:
        thresholds = np.asarray(statistics.thresholds.values, np.float32)
        same = (full >= thresholds) == (variant >= thresholds)  # (N,C)
        values, loss = _average_precisions(truth, full, variant)
    difference = float(np.abs(full.astype(np.float64) - variant).max())
    unknown = [_unknown(logits, task, statistics) for logits in (held_out.full, held_out.variant)]
    decided = [
        _decided(probabilities, refused, task, statistics)
        for probabilities, refused in zip((full, variant), unknown, strict=True)
    ]
    rejected = [None if statistics.unknown is None else float(each.mean()) for each in unknown]
    return Certificate(
        provider=provider,
        split="test" if held_out.split is Split.TEST else "validation",
        images=len(truth),
        metric="accuracy" if exclusive else "mean_average_precision",
        full=values[0],
        value=values[1],
        loss=loss,
        agreement=float(same.mean()),
        max_difference=difference,
        decisions_flipped=int((decided[0] != decided[1]).any(axis=1).sum()),
        rejected_full=rejected[0],
        rejected=rejected[1],
        golden_tolerance=golden_tolerance(kernel_spread, difference),
        limits=limits,
    )


def golden_tolerance(kernel_spread: float, max_difference: float) -> float:
    """How far another CPU's kernels may stray: twice what two kinds of kernels differ by here, from 0.01 on.

    Never more than the variant itself is from full precision, nor than MOST_TOLERANCE: beyond that a tolerance would
    accept another model.
    """
    return min(max(2 * kernel_spread, 0.01), max(max_difference, 0.001), MOST_TOLERANCE)


def _accuracies(
    truth: NDArray[np.bool_], full: NDArray[np.float32], variant: NDArray[np.float32]
) -> tuple[tuple[float, float], MetricEstimate]:
    right = [truth[np.arange(len(truth)), each.argmax(1)] for each in (full, variant)]
    lost = right[0].astype(np.float32) - right[1]  # (N,) of -1, 0, 1
    resamples = intervals.image_resamples(len(lost), RESAMPLES)
    drawn = intervals.resample_sums(lost[:, None], resamples, np.random.default_rng(SEED))[:, 0] / len(lost)
    return (float(right[0].mean()), float(right[1].mean())), _estimate(float(lost.mean(dtype=np.float64)), drawn)


def _average_precisions(
    truth: NDArray[np.bool_], full: NDArray[np.float32], variant: NDArray[np.float32]
) -> tuple[tuple[float, float], MetricEstimate]:
    """Means over the labels that some image carries."""
    held = np.flatnonzero(truth.any(axis=0))
    if not len(held):
        raise ExportError("expected held-out images that carry a label, found none")
    ranked = [[intervals.RankedLabel(truth[:, place], each[:, place]) for place in held] for each in (full, variant)]
    once = np.ones((1, len(truth)), np.uint8)  # each image as often as it is there
    values = [float(np.mean([label.average_precision(once)[0] for label in labels])) for labels in ranked]
    resamples = intervals.rank_resamples(len(truth), len(held), RESAMPLES)
    if not resamples:  # too many scores to draw them often
        return (values[0], values[1]), MetricEstimate(value=values[0] - values[1])
    drawn = [
        intervals.resample_mean_average_precision(
            labels,
            len(truth),
            resamples,
            np.random.default_rng(SEED),  # the same images for both: paired
        )
        for labels in ranked
    ]
    return (values[0], values[1]), _estimate(values[0] - values[1], drawn[0] - drawn[1])


def _estimate(value: float, drawn: NDArray[np.float64]) -> MetricEstimate:
    low, high = intervals.percentile_interval(drawn) or (None, None)
    return MetricEstimate(value=value, low=low, high=high)


def _unknown(logits: NDArray[np.float32], task: Task, statistics: Statistics) -> NDArray[np.bool_]:
    if statistics.unknown is None:
        return np.zeros(len(logits), bool)
    return energy(logits, task) < np.float32(statistics.unknown.energy_threshold)


def _decided(
    probabilities: NDArray[np.float32], unknown: NDArray[np.bool_], task: Task, statistics: Statistics
) -> NDArray[np.bool_]:
    """(N,C+1) bool: the labels that `bundle.decide` claims of each image, and whether it is unknown."""
    claimed = probabilities >= np.asarray(statistics.thresholds.values, np.float32)
    if task is Task.SINGLE_LABEL:
        top = np.arange(probabilities.shape[1]) == probabilities.argmax(1)[:, None]
        claimed &= top
    return np.column_stack([claimed & ~unknown[:, None], unknown])
