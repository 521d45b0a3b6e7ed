"""Precision-recall curves, average precision and the thresholds that give the best F1.

One sort a label gives all three. The values equal scikit-learn's precision_recall_curve, whose checks cost more than a
millisecond a call: seconds for a thousand labels. Curves are thinned for storage; average precision and thresholds are
always computed on the full curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

DEFAULT_THRESHOLD: Final = 0.5
_CURVE_POINTS: Final = 200
_CURVE_POINTS_ALL: Final = 40_000  # of all labels of a split together, so that a thousand labels stay a few megabytes
_CURVE_POINTS_LEAST: Final = 20


@dataclass(frozen=True)
class RankCurve:
    """The full curve of one label; K distinct scores, highest first.

    precision, recall: (K,) float64 in [0, 1], of the rule "score >= threshold".
    threshold: (K,) float64, the distinct scores, descending; recall therefore ascends.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    threshold: NDArray[np.float64]

    @property
    def average_precision(self) -> float:
        """Sum of (recall step) x precision, as scikit-learn's average_precision_score; no interpolation."""
        return float(np.sum(np.diff(self.recall, prepend=0.0) * self.precision))


def rank_curve(truth: NDArray[np.bool_], scores: NDArray[np.floating]) -> RankCurve | None:
    """The precision-recall curve of one label: (N,) bool, (N,) scores; None where no image carries the label."""
    positives = int(np.count_nonzero(truth))
    if not positives:
        return None
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    # images of equal score are accepted together: a point stands where the next score differs
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    hits = np.cumsum(truth[order])[ends]
    return RankCurve(hits / (ends + 1), hits / positives, ranked[ends].astype(np.float64))


def best_f1_threshold(curve: RankCurve) -> float:
    """The threshold in (0, 1) that gives the highest F1; of equals, the highest."""
    total = curve.precision + curve.recall
    f1 = np.divide(2 * curve.precision * curve.recall, total, out=np.zeros_like(total), where=total > 0)
    return threshold_at(curve, int(np.argmax(f1)))


def precision_threshold(curve: RankCurve, target: float) -> float | None:
    """The threshold that finds most of the label's images at a precision of `target` or more; None where none does."""
    reached = np.flatnonzero(curve.precision >= target)
    return threshold_at(curve, int(reached[-1])) if len(reached) else None


def threshold_at(curve: RankCurve, point: int) -> float:
    """The threshold in (0, 1) of a point of the full curve.

    It lies half way between the lowest accepted score and the next score below, so that rounding it in a file
    or in float32 moves no image across it. Rounded to six significant digits, the form in which it is stored.
    """
    below = curve.threshold[point + 1] if point + 1 < len(curve.threshold) else 0.0
    return float(f"{(curve.threshold[point] + below) / 2:.6g}")


def curve_points(classes: int) -> int:
    """How many points of each label's curve are stored: 200, fewer where there are more than 200 labels."""
    return int(np.clip(_CURVE_POINTS_ALL // max(1, classes), _CURVE_POINTS_LEAST, _CURVE_POINTS))


def thin(curve: RankCurve, points: int) -> RankCurve:
    """At most `points` points of the curve, evenly spread over recall; its first rise and its last point stay.

    Where recall stands still precision only falls, so each kept recall is stored with its highest and lowest precision:
    drawn with straight lines, that is the curve.
    """
    highs = np.flatnonzero(np.diff(curve.recall, prepend=0.0) > 0)
    lows = np.append(highs[1:] - 1, len(curve.recall) - 1)
    if 2 * len(highs) > points:
        wanted = np.linspace(curve.recall[highs[0]], curve.recall[highs[-1]], points // 2)
        nearest = np.unique(np.searchsorted(curve.recall[highs], wanted))
        highs, lows = highs[nearest], lows[nearest]
    kept = np.unique(np.concatenate([highs, lows]))
    return RankCurve(curve.precision[kept], curve.recall[kept], curve.threshold[kept])
