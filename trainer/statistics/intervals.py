"""Bootstrap intervals: how far a metric would move on another sample of images of the same kind.

Images are drawn with replacement; the interval runs from the 2.5th to the 97.5th percentile of the metric over the
resamples (percentile bootstrap, Efron 1979). Three ways of drawing, all of the same distribution, each the cheapest:

- count metrics of a single-label split follow from its confusion matrix, so its cells are resampled (multinomial)
  instead of its images: a hundred cells for ten classes, whatever the number of images;
- sums over images (cross-entropy, multi-label counts) are one matrix product of resample weights and image values;
- average precision sorts once; a resample then only sums its weights along that order, positives as the stops.

Nothing here keeps all weights at once: they come in chunks of a few megabytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

CONFIDENCE: Final = 0.95
_CHUNK_ELEMENTS: Final = 4_000_000
_IMAGE_DRAWS: Final = 20_000_000  # resamples x images: beyond it, fewer resamples
_RANK_DRAWS: Final = 100_000_000  # resamples x images x labels
_RANK_LARGEST: Final = 5_000_000  # images x labels above which average precision gets no interval
_LEAST_RESAMPLES: Final = 100


def image_resamples(images: int, wanted: int) -> int:
    """How many resamples of whole images are drawn: `wanted`, down to 200 beyond 20,000 images.

    A large split has a narrow interval, and its ends need fewer resamples to be drawn well.
    """
    return min(wanted, max(2 * _LEAST_RESAMPLES, _IMAGE_DRAWS // max(1, images)))


def rank_resamples(images: int, labels: int, wanted: int) -> int:
    """How many resamples average precision gets: `wanted`, down to 100, and 0 beyond 5 million scores."""
    if images * labels > _RANK_LARGEST:
        return 0
    return min(wanted, max(_LEAST_RESAMPLES, _RANK_DRAWS // max(1, images * labels)))


def percentile_interval(values: NDArray[np.float64]) -> tuple[float, float] | None:
    """(R,) values of a metric over resamples -> (low, high), or None where fewer than two are defined."""
    defined = values[np.isfinite(values)]
    if len(defined) < 2:
        return None
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(defined, [tail, 100 - tail])
    return float(low), float(high)


def resample_weights(images: int, resamples: int, rng: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """Chunks (r, N) of how often each image was drawn in each of r resamples; a row sums to N."""
    step = max(1, _CHUNK_ELEMENTS // max(1, images))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = rng.integers(0, images, size=(rows, images), dtype=np.int32)
        yield np.stack([np.bincount(row, minlength=images).astype(np.uint8) for row in drawn])


@dataclass(frozen=True)
class ConfusionSamples:
    """Diagonal and margins of R resampled confusion matrices, each (R, C) float64."""

    hits: NDArray[np.float64]
    true_totals: NDArray[np.float64]
    predicted_totals: NDArray[np.float64]


def resample_confusion(matrix: NDArray[np.int64], resamples: int, rng: np.random.Generator) -> ConfusionSamples:
    """Draw R confusion matrices with the images and cell frequencies of `matrix` (C, C); empty cells stay empty."""
    images, classes = int(matrix.sum()), len(matrix)
    rows, columns = np.nonzero(matrix)
    frequencies = matrix[rows, columns] / images
    samples = ConfusionSamples(*(np.zeros((resamples, classes)) for _ in range(3)))
    step = max(1, _CHUNK_ELEMENTS // len(rows))
    for start in range(0, resamples, step):
        chunk = slice(start, min(resamples, start + step))
        cells = rng.multinomial(images, frequencies, size=chunk.stop - chunk.start)  # (r, K)
        diagonal = rows == columns
        samples.hits[chunk, rows[diagonal]] = cells[:, diagonal]
        for target, place in ((samples.true_totals, rows), (samples.predicted_totals, columns)):
            order = np.argsort(place, kind="stable")
            present, starts = np.unique(place[order], return_index=True)
            target[chunk, present] = np.add.reduceat(cells[:, order], starts, axis=1)
    return samples


class RankedLabel:
    """One label's images in descending order of score, prepared so that weighted average precision is a few sums."""

    def __init__(self, truth: NDArray[np.bool_], scores: NDArray[np.floating]) -> None:
        """truth: (N,) bool with at least one True; scores: (N,)."""
        order = np.argsort(-scores, kind="stable")
        ranked = scores[order]
        # images of equal score are accepted together: a group ends where the next score differs
        ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) + 1
        positives = np.flatnonzero(truth[order])
        group = np.searchsorted(ends, positives, side="right")
        held, first = np.unique(group, return_index=True)
        stops = ends[held]  # only groups that hold a positive add to the sum
        self._order = order[: stops[-1]]
        self._starts = np.concatenate(([0], stops[:-1]))
        self._positives = order[positives]
        self._positive_starts = first

    def average_precision(self, weights: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Weights (r, N) -> (r,) average precision of each resample; NaN where it drew no positive."""
        accepted = np.add.reduceat(weights[:, self._order], self._starts, axis=1, dtype=np.int32).cumsum(axis=1)
        hit = np.add.reduceat(weights[:, self._positives], self._positive_starts, axis=1, dtype=np.int32)
        hits = hit.cumsum(axis=1)
        precision = np.divide(hits, accepted, out=np.zeros(hits.shape), where=accepted > 0)
        total = hits[:, -1].astype(np.float64)
        found = (hit * precision).sum(axis=1)
        mean: NDArray[np.float64] = np.divide(found, total, out=np.full(len(total), np.nan), where=total > 0)
        return mean


def resample_mean_average_precision(
    ranked: list[RankedLabel], images: int, resamples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(R,) mean over labels of average precision; the same images are drawn for all labels of a resample."""
    parts = [
        np.stack([label.average_precision(weights) for label in ranked])  # (labels, r)
        for weights in resample_weights(images, resamples, rng)
    ]
    each = np.concatenate(parts, axis=1)
    defined = np.isfinite(each)
    totals = np.where(defined, each, 0.0).sum(axis=0)
    count = defined.sum(axis=0)
    mean: NDArray[np.float64] = np.divide(totals, count, out=np.full(each.shape[1], np.nan), where=count > 0)
    return mean


def resample_sums(values: NDArray[np.float32], resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(N, K) values of images -> (R, K) sums over the images that each resample drew."""
    parts = [
        (weights.astype(np.float32) @ values).astype(np.float64)
        for weights in resample_weights(len(values), resamples, rng)
    ]
    return np.concatenate(parts)
