"""Two models on the same images: which one is right where the other is wrong, and whether that could be chance.

Images are the same where their files' digests are; both are judged by the first run's labels, each at its own
thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import bdtr

from bundle.manifest import Frozen
from studio.analysis.scores import Model, Scored
from studio.errors import Conflict, NotFound
from trainer.data.split import Split


class Comparison(Frozen):
    """On images that both models know. The lists hold paths of the first run."""

    images: int
    learnt_by_second: int = Field(description="of them, that the second model was trained on: it knows the answer")
    first_correct: int
    second_correct: int
    both_correct: int
    neither_correct: int
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    p_value: float = Field(description="of a difference as large by chance: McNemar's exact test, two-sided")


def compare(
    first: Model, second: Model, split: Split, first_thresholds: Sequence[float] | None = None,
    second_thresholds: Sequence[float] | None = None,
) -> Comparison:  # fmt: skip
    """The images of a split of the first run. Raises Conflict where the second knows none, or the task is another.

    Thresholds: one a label in the order of that model's labels; None means the model's own.
    """
    if first.statistics.task is not second.statistics.task:
        raise Conflict("The two models answer different questions: one label an image, or any number.", "OTHER_TASK")
    ours = first.scored(split)
    places = _places(second)
    pairs = [
        (row, where, index)
        for row, path in enumerate(ours.paths)
        if (found := places.get(first.digests[path])) is not None
        for where, index in [found]
    ]
    if not pairs:
        raise Conflict("The two models have no image in common.", "NOTHING_IN_COMMON")
    right = _equal_by_name(ours.decided(ours.thresholds(first_thresholds)), ours.labels, ours.truth, ours.labels)
    theirs = {
        where: _correct_by(second.scored(where), second_thresholds, pairs, where, ours)
        for where in {pair[1] for pair in pairs}
    }
    rows = np.array([pair[0] for pair in pairs])
    a = right[rows]
    b = np.array([theirs[where][row] for row, where, _ in pairs])
    only_a, only_b = rows[a & ~b], rows[~a & b]
    return Comparison(
        images=len(pairs),
        learnt_by_second=sum(where is Split.TRAIN for _, where, _ in pairs),
        first_correct=int(a.sum()),
        second_correct=int(b.sum()),
        both_correct=int((a & b).sum()),
        neither_correct=int((~a & ~b).sum()),
        only_first=tuple(ours.paths[row] for row in only_a.tolist()),
        only_second=tuple(ours.paths[row] for row in only_b.tolist()),
        p_value=mcnemar(len(only_a), len(only_b)),
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value: of so uneven a split of the disagreements if both models were equally good.

    Source: McNemar 1947; the exact form is the binomial test at 1/2.
    """
    total = only_first + only_second
    return min(1.0, 2 * float(bdtr(min(only_first, only_second), total, 0.5))) if total else 1.0


def _places(model: Model) -> dict[str, tuple[Split, int]]:
    """Where each image stands, by digest."""
    found = {}
    for split in Split:
        try:
            paths = model.scored(split).paths
        except NotFound:
            continue
        found.update({model.digests[path]: (split, index) for index, path in enumerate(paths)})
    return found


def _correct_by(
    scored: Scored, thresholds: Sequence[float] | None, pairs: list[tuple[int, Split, int]], where: Split, ours: Scored
) -> dict[int, bool]:
    """By our row: whether the other model's answer is what our labels say."""
    chosen = [(row, index) for row, split, index in pairs if split is where]
    decided = scored.decided(scored.thresholds(thresholds))[[index for _, index in chosen]]
    truth = ours.truth[[row for row, _ in chosen]]
    right = _equal_by_name(decided, scored.labels, truth, ours.labels)
    return dict(zip((row for row, _ in chosen), right.tolist(), strict=True))


def _equal_by_name(
    decided: NDArray[np.bool_], decided_labels: tuple[str, ...], truth: NDArray[np.bool_], labels: tuple[str, ...]
) -> NDArray[np.bool_]:
    """(n,) whether the same names are claimed and true; a label that one side does not know is not claimed there."""
    names = sorted({*decided_labels, *labels})
    wide = [np.zeros((len(truth), len(names)), np.bool_) for _ in range(2)]
    for target, matrix, own in ((wide[0], decided, decided_labels), (wide[1], truth, labels)):
        target[:, [names.index(name) for name in own]] = matrix
    right: NDArray[np.bool_] = (wide[0] == wide[1]).all(axis=1)
    return right
