"""Labels that are likely wrong, likeliest first, by confident learning.

An image is suspected where another label than its own is believed as firmly as that label is on average where it is
given. Source: Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR
70 (per-class thresholds, confident joint, ranking by normalised margin). Multi-label: every
label is such a question of its own, present or absent, after Thyagarajan et al. 2022, "Identifying Incorrect
Annotations in Multi-Label Classification Data". Written here in a few lines of numpy: the reference implementation,
cleanlab, brings pandas along, which nothing else here needs.

The method wants scores of images that the model was not trained on; training images are taken only where asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bundle.manifest import Frozen, Task
from studio.analysis.scores import Model, Scored
from studio.errors import NotFound
from trainer.data.split import Split

UNSEEN: Final = (Split.VALIDATION, Split.TEST)


class LabelIssue(Frozen):
    """One image whose label is suspected. add, remove: what would mend it; single-label: one of each."""

    image_id: str
    split: Split
    add: str | None
    remove: str | None
    margin: float = Field(description="probability of what is suspected less that of what is given; in [-1, 1]")


def label_issues(model: Model, splits: Iterable[Split] = UNSEEN) -> list[LabelIssue]:
    """Of all splits together, the highest margin first."""
    found: list[LabelIssue] = []
    for split in splits:
        try:
            scored = model.scored(split)
        except NotFound:
            continue
        issues = _single_label if scored.task is Task.SINGLE_LABEL else _multi_label
        found += issues(scored, split)
    return sorted(found, key=lambda issue: (-issue.margin, issue.image_id))


def confident_suspects(probabilities: NDArray[np.float64], given: NDArray[np.int64]) -> NDArray[np.int64]:
    """The class that is confidently believed of each row, -1 where none is: (N, K), (N,) -> (N,).

    A class is confidently believed where its probability reaches the mean over the rows that are given it; of several
    the most probable one counts. Off the diagonal (another than the given class) a row is a label issue.
    """
    rows, classes = probabilities.shape
    own = probabilities[np.arange(rows), given]
    count = np.bincount(given, minlength=classes)
    mean = np.bincount(given, weights=own, minlength=classes) / np.maximum(count, 1)
    thresholds = np.where(count > 0, mean, np.inf)  # a class that no row is given cannot be judged
    believed = np.where(probabilities >= thresholds, probabilities, -1.0)
    best = believed.argmax(axis=1)
    return np.where(believed.max(axis=1) >= 0, best, -1)


def _single_label(scored: Scored, split: Split) -> list[LabelIssue]:
    given = scored.truth.argmax(axis=1)
    probabilities = scored.probabilities.astype(np.float64)
    suspect = confident_suspects(probabilities, given)
    return [
        LabelIssue(
            image_id=scored.paths[row],
            split=split,
            add=scored.labels[suspect[row]],
            remove=scored.labels[given[row]],
            margin=float(probabilities[row, suspect[row]] - probabilities[row, given[row]]),
        )
        for row in np.flatnonzero((suspect >= 0) & (suspect != given)).tolist()
    ]


def _multi_label(scored: Scored, split: Split) -> list[LabelIssue]:
    found = []
    for place, label in enumerate(scored.labels):
        given = scored.truth[:, place].astype(np.int64)
        present = scored.probabilities[:, place].astype(np.float64)
        both = np.stack([1 - present, present], axis=1)  # (N,) -> (N, 2): absent, present
        suspect = confident_suspects(both, given)
        for row in np.flatnonzero((suspect >= 0) & (suspect != given)).tolist():
            found.append(
                LabelIssue(
                    image_id=scored.paths[row],
                    split=split,
                    add=label if suspect[row] else None,
                    remove=None if suspect[row] else label,
                    margin=float(both[row, suspect[row]] - both[row, given[row]]),
                )
            )
    return found
