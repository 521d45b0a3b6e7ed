"""How far probabilities can be believed: temperature scaling, reliability bins, expected calibration error.

Temperature scaling divides all logits by one number; it never changes the order of a single-label answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from bundle.manifest import Task
from trainer.statistics.scores import image_losses, row_blocks

RELIABILITY_BINS: Final = 15
TEMPERATURE_BOUNDS: Final = (0.1, 10.0)
_FIT_ELEMENTS: Final = 5_000_000  # one number is fitted: more logits than this change nothing but the time it takes


@dataclass(frozen=True)
class TemperatureFit:
    """The temperature, six significant digits, and a word on it where it could not be fitted freely."""

    temperature: float
    note: str | None = None


@dataclass(frozen=True)
class ReliabilityBins:
    """Equal-width bins of confidence over [0, 1]; K bins.

    confidence, accuracy: (K,) float64, means of the bin's answers; NaN where it is empty.
    count: (K,) int64.
    """

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    count: NDArray[np.int64]

    @property
    def expected_calibration_error(self) -> float:
        """Mean |accuracy - confidence| over bins, weighted by their counts: a fraction. Source: Guo et al. 2017."""
        held = self.count > 0
        gaps = np.abs(self.accuracy[held] - self.confidence[held])
        return float(np.sum(gaps * self.count[held]) / self.count.sum())


def fit_temperature(logits: NDArray[np.float32], truth: NDArray[np.bool_], task: Task) -> TemperatureFit:
    """The temperature T in [0.1, 10] with the lowest cross-entropy of logits / T.

    logits: (N, C) float32; truth: (N, C) bool. The cross-entropy is convex in 1 / T, so a bounded one-dimensional
    search finds its only minimum. There is none where the model makes no mistake: then ever smaller temperatures
    look better, and 1 is kept.  Source: Guo et al. 2017, section 4.2.
    """
    step = max(1, -(-logits.size // _FIT_ELEMENTS))
    logits, truth = logits[::step], truth[::step]
    if _without_mistake(logits, truth, task):
        return TemperatureFit(1.0, "the model makes no mistake on these images, so the temperature stays at 1")
    low, high = (float(np.log(bound)) for bound in TEMPERATURE_BOUNDS)
    found = minimize_scalar(
        lambda log_t: float(image_losses(logits, truth, task, float(np.exp(log_t))).mean()),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-4},
    )
    temperature = float(f"{np.exp(found.x):.6g}")
    at_bound = min(found.x - low, high - found.x) < 1e-3
    note = f"the best temperature lies at the bound of its range, {TEMPERATURE_BOUNDS}" if at_bound else None
    return TemperatureFit(temperature, note)


def _without_mistake(logits: NDArray[np.float32], truth: NDArray[np.bool_], task: Task) -> bool:
    if task is Task.SINGLE_LABEL:
        own = np.where(truth, logits, -np.inf).max(axis=1)
        return bool((own >= logits.max(axis=1)).all())
    return bool(((logits > 0) == truth).all())


def reliability(
    probabilities: NDArray[np.float32], truth: NDArray[np.bool_], task: Task, bins: int = RELIABILITY_BINS
) -> ReliabilityBins:
    """Bin the answers by confidence; bin k holds the confidences in (k / bins, (k + 1) / bins], the first also 0.

    probabilities: (N, C) float32; truth: (N, C) bool. Single-label: one answer an image, the top label and its
    probability. Multi-label: one answer a label and image, "present" with the label's probability.
    """
    edges = np.arange(1, bins) / bins
    count = np.zeros(bins, dtype=np.int64)
    confidence = np.zeros(bins)
    hits = np.zeros(bins)
    for block in row_blocks(*probabilities.shape):
        if task is Task.SINGLE_LABEL:
            top = probabilities[block].argmax(axis=1)[:, None]
            said = np.take_along_axis(probabilities[block], top, axis=1).ravel().astype(np.float64)
            right = np.take_along_axis(truth[block], top, axis=1).ravel()
        else:
            said = probabilities[block].ravel().astype(np.float64)  # (n, C) -> (n*C,)
            right = truth[block].ravel()
        place = np.digitize(said, edges, right=True)
        count += np.bincount(place, minlength=bins)
        confidence += np.bincount(place, weights=said, minlength=bins)
        hits += np.bincount(place, weights=right, minlength=bins)
    divisor = np.where(count > 0, count, np.nan)
    return ReliabilityBins(confidence / divisor, hits / divisor, count)
