"""The confusion matrix as a heat map, and its most frequent mistakes as a list.

A cell's strength is its share of its row (of all images with that true label): right answers in the accent colour,
mistakes in the colour of mistakes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from trainer.report.svg import element, picture, text
from trainer.statistics.document import ConfusionMatrix

LARGEST_SHOWN: Final = 40
_NUMBERS_UP_TO: Final = 20
_SMALL: Final = 8  # classes that stay readable on a phone without scrolling
_LABEL_LETTERS: Final = 18
_LETTER_WIDTH: Final = 7.2


@dataclass(frozen=True)
class Mistake:
    truth: str
    predicted: str
    images: int
    share: float  # of the images with that true label


def most_frequent_mistakes(confusion: ConfusionMatrix, labels: Sequence[str], wanted: int = 8) -> list[Mistake]:
    """The off-diagonal cells with the most images, most first."""
    totals = confusion.dense().sum(axis=1)
    cells = sorted((cell for cell in confusion.cells if cell[0] != cell[1]), key=lambda cell: (-cell[2], cell[:2]))
    return [
        Mistake(labels[truth], labels[predicted], images, images / int(totals[truth]))
        for truth, predicted, images in cells[:wanted]
    ]


def shown_classes(matrix: NDArray[np.int64]) -> NDArray[np.intp]:
    """Indices of the classes to draw: all up to 40, else the 40 that take part in the most mistakes, in label order."""
    if len(matrix) <= LARGEST_SHOWN:
        return np.arange(len(matrix))
    mistakes = matrix.sum(axis=0) + matrix.sum(axis=1) - 2 * np.diagonal(matrix)
    return np.sort(np.argsort(-mistakes, kind="stable")[:LARGEST_SHOWN])


def confusion_heatmap(confusion: ConfusionMatrix, labels: Sequence[str]) -> Markup:
    """The (C, C) counts as an SVG; hover a cell for its labels, count and share."""
    whole = confusion.dense()
    shown = shown_classes(whole)
    totals = whole.sum(axis=1)
    names = [_shortened(labels[place]) for place in shown]
    side = float(np.clip(440 / len(shown), 19, 76))
    gap = 3.0 if side > 30 else 1.5
    margin = 30 + max(len(name) for name in names) * _LETTER_WIDTH
    slanted = max(len(name) for name in names) * _LETTER_WIDTH * 0.72
    top = 34 + slanted
    size = side * len(shown)
    numbers = len(shown) <= _NUMBERS_UP_TO

    drawn = [
        element("rect", x=margin, y=top, width=size - gap, height=size - gap, rx=6, class_="cm-ground"),
        text(margin + size / 2, 14, "Predicted label", "axis", "middle"),
        text(14, top + size / 2, "True label", "axis", "middle", transform=f"rotate(-90 14 {top + size / 2:.1f})"),
    ]
    for place in range(1, len(shown)):
        cut = place * side - gap / 2
        steps = f"M{margin + cut:.1f} {top:.1f}v{size:.1f}M{margin:.1f} {top + cut:.1f}h{size:.1f}"
        drawn.append(element("path", d=steps, class_="cm-grid", stroke_width=gap))
    for place, name in enumerate(names):
        middle = place * side + (side - gap) / 2
        full = labels[shown[place]]
        drawn.append(text(margin - 9, top + middle + 4, name, "cm-label", "end", data_tip=full))
        x, y = margin + middle + 3, top - 9
        turn = f"rotate(-45 {x:.1f} {y:.1f})"
        drawn.append(text(x, y, name, "cm-label", "start", transform=turn, data_tip=full))
    for row, truth in enumerate(shown):
        for column, predicted in enumerate(shown):
            images = int(whole[truth, predicted])
            if images:
                share = images / int(totals[truth])
                counted = "1 image" if images == 1 else f"{images:,} images"
                tip = f"{labels[truth]} → {labels[predicted]}\n{counted}, {share:.1%} of {labels[truth]}"
                corner = (margin + column * side, top + row * side)
                drawn.append(
                    _cell(corner, side - gap, share, truth == predicted, f"{images:,}" if numbers else "", tip)
                )
    class_ = "plot confusion is-large" if len(shown) > _SMALL else "plot confusion"
    return picture(
        margin + size + max(20, slanted - side / 2), top + size + 4, "Confusion matrix", *drawn, class_=class_
    )


def _cell(corner: tuple[float, float], side: float, share: float, right: bool, number: str, tip: str) -> Markup:
    x, y = corner
    # a share of a few percent must be seen, but not shout
    strength = 0.14 + 0.86 * share if right else 0.05 + 0.95 * share**0.75
    square = element(
        "rect",
        x=x,
        y=y,
        width=side,
        height=side,
        rx=4 if side > 30 else 2,
        class_="cm-right" if right else "cm-wrong",
        fill_opacity=strength,
    )
    shade = "cm-number on-strong" if strength > 0.6 else "cm-number"
    said = text(x + side / 2, y + side / 2 + 4.5, number, shade, "middle") if number else Markup("")
    return element("g", square, said, data_tip=tip, class_="cm-cell")


def _shortened(name: str) -> str:
    return name if len(name) <= _LABEL_LETTERS else name[: _LABEL_LETTERS - 1] + "…"
