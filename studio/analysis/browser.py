"""Predictions of a split, image by image: filtered, sorted, in pages by key, or all of them as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from studio.analysis.scores import Scored
from studio.csv_cells import text_cell
from studio.database.paging import MOST_ROWS, decode_cursor, encode_cursor
from studio.errors import Invalid
from trainer.statistics.document import ImagePrediction
from trainer.statistics.splits import prediction_of

_CSV_ROWS: Final = 2000


class Show(StrEnum):
    ALL = "all"
    CORRECT = "correct"
    INCORRECT = "incorrect"
    ABOVE = "above"  # the label, or any label, reaches its threshold
    BELOW = "below"


class Order(StrEnum):
    WORST = "worst"  # highest cross-entropy first
    SUREST = "surest"  # highest probability first: of the label, or of the most probable one
    LEAST_SURE = "least_sure"
    PATH = "path"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which images. label: its state alone counts for correct, above and below, and its probability for the order.

    truth, predicted: only images that carry, and that got, this label: a cell of the confusion matrix.
    unanswered: only images that got no label.
    """

    show: Show = Show.ALL
    label: str | None = None
    truth: str | None = None
    predicted: str | None = None
    unanswered: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """count: of all images that the filter leaves.  next: cursor of the next page, None at the end."""

    predictions: tuple[ImagePrediction, ...]
    count: int
    next: str | None


def page(
    scored: Scored, thresholds: NDArray[np.float32], wanted: Filter, order: Order, limit: int, after: str | None = None
) -> Page:
    """thresholds: (C,). A cursor stays good when thresholds change: it says where, not how many."""
    if not 1 <= limit <= MOST_ROWS:
        raise Invalid(f"limit: expected 1 to {MOST_ROWS}, found {limit}.")
    decided = scored.decided(thresholds)
    keys = _keys(scored, wanted, order)
    rows = np.flatnonzero(_mask(scored, thresholds, decided, wanted))
    count = len(rows)
    if after is not None:
        key_text, last = decode_cursor(after, str, int)
        rows = rows[_comes_after(keys[rows], rows, key_text, last)]
    rows = rows[np.argsort(keys[rows], kind="stable")]  # rows ascend, so equals stay in their order
    shown = rows[:limit]
    found = tuple(
        prediction_of(
            scored.labels, scored.paths[row], scored.truth[row], scored.probabilities[row], decided[row],
            float(scored.losses[row]),
        )
        for row in shown.tolist()
    )  # fmt: skip
    end = None if len(rows) <= limit else encode_cursor(float(keys[shown[-1]]).hex(), int(shown[-1]))
    return Page(found, count, end)


def csv_lines(scored: Scored, split: str, thresholds: NDArray[np.float32]) -> Iterator[str]:
    """A header, then a line an image: file, split, truth, prediction, correct, loss, and each label's probability.

    Several labels of an image are separated by `|`.
    """
    names = [text_cell(label) for label in scored.labels]
    yield _line(["file", "split", "truth", "predicted", "correct", "loss", *(f"p({label})" for label in scored.labels)])
    decided = scored.decided(thresholds)
    right = (decided == scored.truth).all(axis=1).tolist()
    for start in range(0, len(scored), _CSV_ROWS):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\r\n")
        for row in range(start, min(start + _CSV_ROWS, len(scored))):
            true, said = (
                "|".join(names[place] for place in np.flatnonzero(matrix[row]).tolist())
                for matrix in (scored.truth, decided)
            )
            numbers = [f"{value:.6g}" for value in (scored.losses[row], *scored.probabilities[row].tolist())]
            writer.writerow([text_cell(scored.paths[row]), split, true, said, "yes" if right[row] else "no", *numbers])
        yield text.getvalue()


def _mask(
    scored: Scored, thresholds: NDArray[np.float32], decided: NDArray[np.bool_], wanted: Filter
) -> NDArray[np.bool_]:
    """(N,) which images the filter leaves."""
    if wanted.label is None:
        correct, above = (decided == scored.truth).all(axis=1), decided.any(axis=1)
    else:
        place = scored.place(wanted.label)
        correct = decided[:, place] == scored.truth[:, place]
        above = scored.probabilities[:, place] >= thresholds[place]
    mask: NDArray[np.bool_] = {
        Show.ALL: np.ones(len(scored), np.bool_), Show.CORRECT: correct, Show.INCORRECT: ~correct,
        Show.ABOVE: above, Show.BELOW: ~above,
    }[wanted.show]  # fmt: skip
    if wanted.truth is not None:
        mask = mask & scored.truth[:, scored.place(wanted.truth)]
    if wanted.predicted is not None:
        mask = mask & decided[:, scored.place(wanted.predicted)]
    if wanted.unanswered:
        mask = mask & ~decided.any(axis=1)
    return mask


def _keys(scored: Scored, wanted: Filter, order: Order) -> NDArray[np.float64]:
    """(N,) what is sorted by, smallest first."""
    if order is Order.PATH:  # the snapshot's order already
        return np.zeros(len(scored))
    if order is Order.WORST:
        worst: NDArray[np.float64] = -scored.losses
        return worst
    if wanted.label is None:
        sure = scored.probabilities.max(axis=1)
    else:
        sure = scored.probabilities[:, scored.place(wanted.label)]
    sign = -1.0 if order is Order.SUREST else 1.0
    keys: NDArray[np.float64] = sure.astype(np.float64) * sign
    return keys


def _comes_after(keys: NDArray[np.float64], rows: NDArray[np.int64], key_text: str, last: int) -> NDArray[np.bool_]:
    try:
        key = float.fromhex(key_text)
    except (ValueError, OverflowError):
        raise Invalid("after: expected the `next` of the page before.", "CURSOR_INVALID") from None
    after: NDArray[np.bool_] = (keys > key) | ((keys == key) & (rows > last))
    return after


def _line(cells: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow([text_cell(cell) for cell in cells])
    return text.getvalue()
