"""Learning curves, precision-recall curves and reliability diagrams as inline SVG.

Every plot is drawn at a fixed size and scaled by the page; the values under the pointer are in `data-tip`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup

from trainer.report.svg import Frame, element, nice_ticks, path, percent_ticks, picture, text
from trainer.statistics.document import PrecisionRecallCurve, Reliability, SplitCalibration

COLOURS: Final = 12  # series colours in the style sheet: --series-0 ... --series-11
_LINE_POINTS: Final = 400
_HOVER_COLUMNS: Final = 120
_CURVE_POINTS: Final = 200
_CURVE_POINTS_OF_MANY: Final = 60


def learning_curve(
    rows: Sequence[Mapping[str, Any]],
    series: Sequence[tuple[str, str]],
    title: str,
    best_epoch: int | None,
    as_percent: bool,
) -> Markup | None:
    """One value over epochs. series: (key in the rows, name); None where no row has any of them."""
    lines = {name: _points(rows, key) for key, name in series}
    values = [value for line in lines.values() for _, value in line]
    if not values:
        return None
    epochs = [epoch for line in lines.values() for epoch, _ in line]
    low, high = _value_range(values, as_percent)
    first, last = min(epochs), max(epochs)
    frame = Frame(66, 16, 444, 220, (first, last) if last > first else (first - 1, last + 1), (low, high))
    form = ".0%" if as_percent else "g"
    epoch_ticks = [(t, f"{t:g}") for t in nice_ticks(first, last, 6) if t == int(t)]
    drawn = [frame.axes(epoch_ticks, [(t, format(t, form)) for t in nice_ticks(low, high, 4)], "Epoch")]
    if best_epoch is not None and first <= best_epoch <= last:
        drawn.append(_best_epoch_line(frame, best_epoch))
    for place, (_, name) in enumerate(series):
        line = lines[name]
        if len(line) == 1:
            x, y = frame.point(*line[0])
            drawn.append(element("circle", cx=x, cy=y, r=4, class_=f"dot line-{place}"))
        elif line:
            step = max(1, len(line) // _LINE_POINTS)
            kept = [*line[:-1:step], line[-1]]
            drawn.append(path((frame.point(*point) for point in kept), f"line line-{place}"))
    drawn.append(_hover_columns(frame, rows, series, as_percent))
    return picture(524, 282, title, *drawn)


def precision_recall_plot(
    curves: Sequence[PrecisionRecallCurve],
    pooled: PrecisionRecallCurve | None,
    colour_of: Mapping[str, int],
    prefix: str,
) -> Markup:
    """Curves of labels over one another, the pooled one bold; a dot marks the chosen threshold.

    colour_of: label -> series colour; labels without one are drawn in grey until they are pointed at.
    prefix: makes the plot's element ids its own within the page.
    """
    frame = Frame(66, 12, 432, 372)
    ticks = percent_ticks()
    drawn = [frame.axes(ticks, ticks, "Recall", "Precision"), _equal_f1_lines(frame)]
    for place, curve in enumerate([*curves, *([pooled] if pooled else [])]):
        name = curve.label or ""
        colour = colour_of.get(name)
        look = "pooled" if curve is pooled else "grey" if colour is None else f"series-{colour}"
        points = _curve_path(frame, curve, _CURVE_POINTS if len(curves) <= COLOURS else _CURVE_POINTS_OF_MANY)
        tip = f"{name or 'All labels together'}\naverage precision {curve.average_precision:.3f}"
        # the same line once more, invisible and wide, so that it is easy to point at
        children = [
            path(points, None, id=f"{prefix}-{place}"),
            element("use", href=f"#{prefix}-{place}", class_="hit"),
        ]
        if curve.chosen_recall is not None and curve.chosen_precision is not None:
            x, y = frame.point(curve.chosen_recall, curve.chosen_precision)
            children.append(element("circle", cx=x, cy=y, r=4.5, class_="chosen"))
            tip += (
                f"\nat threshold {curve.chosen_threshold:.3g}: precision {curve.chosen_precision:.1%},"
                f" recall {curve.chosen_recall:.1%}"
            )
        drawn.append(element("g", *children, class_=f"series {look}", data_series=name, data_tip=tip))
    return picture(512, 430, "Precision-recall curves", *drawn)


def reliability_diagram(calibration: SplitCalibration) -> Markup:
    """Accuracy in each bin of confidence after temperature scaling, as bars; before it, as a dotted line."""
    frame = Frame(66, 12, 432, 300)
    ticks = percent_ticks()
    drawn = [frame.axes([], ticks, "", "Accuracy")]
    total = sum(held.count for held in calibration.after.bins) or 1
    most = max((held.count for held in calibration.after.bins), default=1) or 1
    strip = Frame(66, 322, 432, 46, (0, 1), (0, most))
    for held in calibration.after.bins:
        if not held.count or held.accuracy is None or held.confidence is None:
            continue
        left, width = frame.x(held.lower) + 1.5, frame.x(held.upper) - frame.x(held.lower) - 3
        low, high = sorted((held.accuracy, held.confidence))
        tip = (
            f"Confidence {held.lower:.0%} to {held.upper:.0%}\n{held.count:,} answers ({held.count / total:.1%})\n"
            f"mean confidence {held.confidence:.1%}, right {held.accuracy:.1%}"
        )
        gap = "too-sure" if held.confidence > held.accuracy else "too-shy"
        drawn.append(
            element(
                "g",
                element("rect", x=left, y=frame.top, width=width, height=strip.bottom - frame.top, class_="hover-zone"),
                _column(frame, left, width, 0.0, low, "bar"),
                _column(frame, left, width, low, high, gap),
                element(
                    "rect",
                    x=left,
                    y=strip.y(held.count),
                    width=width,
                    height=max(1.0, strip.bottom - strip.y(held.count)),
                    rx=1.5,
                    class_="count-bar",
                ),
                data_tip=tip,
            )
        )
    drawn.append(path([frame.point(0, 0), frame.point(1, 1)], "diagonal"))
    drawn.append(_before_line(frame, calibration.before))
    drawn += [text(strip.x(value), strip.bottom + 18, name, "tick", "middle") for value, name in ticks]
    drawn.append(text(strip.left + strip.width / 2, strip.bottom + 38, "Confidence", "axis", "middle"))
    drawn.append(text(strip.left - 8, strip.bottom - 4, "answers", "tick", "end"))
    return picture(512, 414, "Reliability diagram", *drawn)


def _column(frame: Frame, left: float, width: float, low: float, high: float, class_: str) -> Markup:
    return element("rect", x=left, y=frame.y(high), width=width, height=frame.y(low) - frame.y(high), class_=class_)


def _before_line(frame: Frame, before: Reliability) -> Markup:
    points = [
        frame.point(held.confidence, held.accuracy)
        for held in before.bins
        if held.confidence is not None and held.accuracy is not None
    ]
    dots = [element("circle", cx=x, cy=y, r=3, class_="before-dot") for x, y in points]
    return Markup("").join([path(points, "before"), *dots]) if points else Markup("")


def _points(rows: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    return [(float(row["epoch"]), float(value)) for row in rows if (value := _finite(row.get(key))) is not None]


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _value_range(values: Sequence[float], as_percent: bool) -> tuple[float, float]:
    if as_percent:
        low = math.floor(min(values) * 10 - 0.2) / 10
        return max(0.0, min(low, 0.9)), 1.0
    return 0.0, max(values) * 1.04 or 1.0


def _best_epoch_line(frame: Frame, epoch: int) -> Markup:
    x = frame.x(epoch)
    left_half = x < frame.left + frame.width / 2
    return Markup("").join(
        [
            element("line", x1=x, x2=x, y1=frame.top, y2=frame.bottom, class_="best-line"),
            text(
                x + (7 if left_half else -7),
                frame.top + 8,
                f"best, epoch {epoch}",
                "best-label",
                "start" if left_half else "end",
            ),
        ]
    )


def _hover_columns(
    frame: Frame, rows: Sequence[Mapping[str, Any]], series: Sequence[tuple[str, str]], as_percent: bool
) -> Markup:
    """Invisible columns that name the values of an epoch."""
    step = max(1, -(-len(rows) // _HOVER_COLUMNS))
    kept = rows[::step]
    width = frame.width / max(1, len(kept))
    columns = []
    for row in kept:
        said = [
            f"{name} {value:.1%}" if as_percent else f"{name} {value:.4f}"
            for key, name in series
            if (value := _finite(row.get(key))) is not None
        ]
        if said:
            x = frame.x(float(row["epoch"]))
            left, right = max(frame.left, x - width / 2), min(frame.right, x + width / 2)
            zone = element(
                "rect", x=left, y=frame.top, width=max(0.5, right - left), height=frame.height, class_="hover-column"
            )
            guide = element("line", x1=x, x2=x, y1=frame.top, y2=frame.bottom, class_="guide")
            columns.append(element("g", zone, guide, data_tip="\n".join([f"Epoch {row['epoch']}", *said])))
    return Markup("").join(columns)


def _curve_path(frame: Frame, curve: PrecisionRecallCurve, points: int) -> list[tuple[float, float]]:
    pairs = list(zip(curve.recall, curve.precision, strict=True))
    step = max(1, -(-len(pairs) // points))
    kept = [pair for place, pair in enumerate(pairs) if place // 2 % step == 0]  # a recall's highest and lowest stay
    if kept[-1] != pairs[-1]:
        kept.append(pairs[-1])
    # the curve starts at the highest score: nothing is known to the left of it, so the line comes in level
    return [frame.point(0, kept[0][1]), *(frame.point(*pair) for pair in kept)]


def _equal_f1_lines(frame: Frame) -> Markup:
    drawn = []
    for f1 in (0.2, 0.4, 0.6, 0.8):
        least = f1 / (2 - f1)
        recalls = [least ** (1 - step / 40) for step in range(41)]  # denser where the curve is steep
        points = [frame.point(recall, f1 * recall / (2 * recall - f1)) for recall in recalls]
        drawn.append(path(points, "equal-f1"))
        drawn.append(text(frame.right - 4, frame.y(least) - 5, f"F1 {f1:g}", "equal-f1-label", "end"))
    return Markup("").join(drawn)
