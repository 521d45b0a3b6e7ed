"""Choose thresholds: by a click on a precision-recall curve, for the best F1, for a precision, one for all labels.

A curve is of one label against the rest, or of all labels pooled; its points are the distinct scores of the split.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from studio.analysis.scores import Scored
from studio.errors import Invalid, NotFound
from trainer.statistics.curves import (
    RankCurve,
    best_f1_threshold,
    precision_threshold,
    rank_curve,
    thin,
    threshold_at,
)

Rule = Literal["f1", "precision"]
MOST_POINTS: Final = 2000


def curve_of(scored: Scored, label: str | None) -> RankCurve:
    """The full curve of a label, or of all pooled (micro-average). Raises NotFound where no image carries it."""
    if label is None:
        curve = rank_curve(scored.truth.ravel(), scored.probabilities.ravel())  # (N, C) -> (N*C,)
    else:
        place = scored.place(label)
        curve = rank_curve(scored.truth[:, place], scored.probabilities[:, place])
    if curve is None:
        raise NotFound("No image of this split carries the label, so there is no curve.", "NO_CURVE")
    return curve


def drawn(curve: RankCurve, points: int = 200) -> RankCurve:
    """At most `points` points of it, for drawing."""
    return thin(curve, min(max(points, 2), MOST_POINTS))


def clicked_threshold(curve: RankCurve, recall: float, precision: float) -> float:
    """Of the curve's point that lies nearest to the click, both in [0, 1]."""
    if not (0 <= recall <= 1 and 0 <= precision <= 1):
        raise Invalid("click: expected recall and precision from 0 to 1.")
    distance = (curve.recall - recall) ** 2 + (curve.precision - precision) ** 2
    return threshold_at(curve, int(distance.argmin()))


def chosen_threshold(curve: RankCurve, rule: Rule, target: float | None = None) -> float | None:
    """By the best F1, or the most recall at a precision of `target`; None where that is never reached."""
    if rule == "f1":
        return best_f1_threshold(curve)
    if target is None or not 0 < target <= 1:
        raise Invalid("precision: expected a target above 0 and at most 1.")
    return precision_threshold(curve, target)


def chosen_thresholds(
    scored: Scored, rule: Rule, target: float | None, before: NDArray[np.float32]
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """One a label by the rule: (C,). Labels without images here, or that never reach the target, keep `before` (C,).

    Returns them too, by name.
    """
    values, kept = before.copy(), []
    for place, label in enumerate(scored.labels):
        curve = rank_curve(scored.truth[:, place], scored.probabilities[:, place])
        found = None if curve is None else chosen_threshold(curve, rule, target)
        if found is None:
            kept.append(label)
        else:
            values[place] = found
    return values, tuple(kept)
