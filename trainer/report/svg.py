"""The few pieces that every plot is made of: escaped elements, a frame with axes, tidy tick values.

Colours come from the page's style sheet by class, so that a plot follows light, dark and print by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup


def element(name: str, *children: str | Markup, **attributes: object) -> Markup:
    """One element; text and attribute values are escaped, Markup children stay, None attributes are left out.

    `class_` becomes class and other underscores become hyphens: `text_anchor="end"`, `data_tip="..."`.
    """
    parts = [
        Markup(' {}="{}"').format("class" if key == "class_" else key.replace("_", "-"), _plain(value))
        for key, value in attributes.items()
        if value is not None
    ]
    tag = Markup(name)  # noqa: S704 - names of elements are written in our plots, never taken from data
    return Markup("<{0}{1}>{2}</{0}>").format(tag, Markup("").join(parts), Markup("").join(children))


def picture(width: float, height: float, title: str, *children: Markup, class_: str = "plot") -> Markup:
    """An <svg> that scales with its container and tells its title to a screen reader."""
    return element(
        "svg",
        *children,
        viewBox=f"0 0 {_plain(width)} {_plain(height)}",
        width=width,
        height=height,
        role="img",
        aria_label=title,
        class_=class_,
    )


def text(
    x: float, y: float, content: str, class_: str | None = None, anchor: str | None = None, **more: object
) -> Markup:
    return element("text", content, x=x, y=y, class_=class_, text_anchor=anchor, **more)


def path(points: Iterable[tuple[float, float]], class_: str | None, **more: object) -> Markup:
    """A line through points that are already in the picture's units."""
    steps = " ".join(f"{'L' if place else 'M'}{_plain(x)} {_plain(y)}" for place, (x, y) in enumerate(points))
    return element("path", d=steps, class_=class_, **more)


@dataclass(frozen=True)
class Frame:
    """A rectangle in the picture and the ranges of values that it shows; values grow to the right and upwards."""

    left: float
    top: float
    width: float
    height: float
    x_range: tuple[float, float] = (0.0, 1.0)
    y_range: tuple[float, float] = (0.0, 1.0)

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height

    def x(self, value: float) -> float:
        low, high = self.x_range
        return self.left + self.width * (value - low) / ((high - low) or 1.0)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return self.bottom - self.height * (value - low) / ((high - low) or 1.0)

    def point(self, x: float, y: float) -> tuple[float, float]:
        return self.x(x), self.y(y)

    def axes(
        self,
        x_ticks: Sequence[tuple[float, str]],
        y_ticks: Sequence[tuple[float, str]],
        x_title: str,
        y_title: str | None = None,
    ) -> Markup:
        """Grid lines, tick labels and titles."""
        grid = [
            element("line", x1=self.left, x2=self.right, y1=self.y(value), y2=self.y(value), class_="grid")
            for value, _ in y_ticks
        ]
        labels = [
            *(text(self.left - 8, self.y(value) + 4, name, "tick", "end") for value, name in y_ticks),
            *(text(self.x(value), self.bottom + 18, name, "tick", "middle") for value, name in x_ticks),
            text(self.left + self.width / 2, self.bottom + 38, x_title, "axis", "middle"),
        ]
        if y_title:
            x, y = self.left - 52, self.top + self.height / 2
            turn = f"rotate(-90 {_plain(x)} {_plain(y)})"
            labels.append(text(x, y, y_title, "axis", "middle", transform=turn))
        return Markup("").join([*grid, *labels])


def nice_ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten apart) within [low, high]."""
    if not high > low:
        return [low]
    rough = (high - low) / wanted
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(place * step, 12) for place in range(first, math.floor(high / step + 1e-9) + 1)]


def percent_ticks() -> list[tuple[float, str]]:
    return [(value / 100, f"{value}%") for value in (0, 25, 50, 75, 100)]


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f}".removesuffix(".0") if abs(value) > 2 else f"{value:.3g}"
    return str(value)
