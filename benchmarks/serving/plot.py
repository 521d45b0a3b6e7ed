"""Throughput as bars: a row of panels for each size of photo, a panel for each number of requests at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from benchmarks.serving.measure import Plan
from benchmarks.serving.summary import Row
from trainer.report.svg import Frame, element, text

LABELS_WIDTH, PANEL_WIDTH, GAP = 190, 250, 70
BAR, STEP = 16, 24
TOP, BETWEEN, MARGIN = 64, 64, 16
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-size: 15px; font-weight: 600 }
.panel { font-weight: 600 }
.value { font-size: 12px; fill: #57606a }
.limit { fill: #afb8c1 }
.peer { fill: #8aa9c9 }
.ours { fill: #1a7f64 }
"""


def throughput_plot(rows: Sequence[Row], plan: Plan, titles: Mapping[str, str], peers: Sequence[str]) -> str:
    """An SVG file's text. peers: names of contenders; others that begin with `limit` are limits, the rest is ours."""
    names = list(dict.fromkeys(row.contender for row in rows))
    panel_height = STEP * len(names)
    width = MARGIN + LABELS_WIDTH + len(plan.concurrency) * (PANEL_WIDTH + GAP)
    height = TOP + len(plan.sizes) * (panel_height + BETWEEN)
    drawn = [text(MARGIN, 24, "Images a second (and as a share of the limit)", "title")]
    for place, size in enumerate(plan.sizes):
        top = TOP + place * (panel_height + BETWEEN) + 24
        drawn.append(text(MARGIN, top - 12, f"{size[0]} x {size[1]}", "panel"))
        drawn += [text(MARGIN, top + STEP * n + BAR - 4, titles[name]) for n, name in enumerate(names)]
        here = [row for row in rows if row.cell.size == size]
        highest = max((row.per_second for row in here), default=1.0)
        for column, concurrency in enumerate(plan.concurrency):
            left = MARGIN + LABELS_WIDTH + column * (PANEL_WIDTH + GAP)
            frame = Frame(left, top, PANEL_WIDTH, panel_height, (0.0, highest))
            at_once = f"{concurrency} request{'s' if concurrency > 1 else ''} at once"
            drawn.append(text(left, top - 12, at_once, "panel"))
            drawn += [
                _bar(frame, names.index(row.contender), row, _class(row.contender, peers))
                for row in here
                if row.cell.concurrency == concurrency
            ]
    return str(
        element(
            "svg",
            element("style", Markup(STYLE)),
            element("rect", width=width, height=height, fill="#ffffff"),
            *drawn,
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {width} {height}",
            width=width,
            height=height,
            role="img",
            aria_label="Throughput of every contender",
        )
    )


def _bar(frame: Frame, place: int, row: Row, class_: str) -> Markup:
    y = frame.top + STEP * place
    length = frame.x(row.per_second) - frame.left
    share = f" ({row.of_limit.median:.2f})" if row.of_limit and row.contender != "limit" else ""
    return Markup("").join(
        [
            element("rect", x=frame.left, y=y, width=length, height=BAR, rx=2, class_=class_),
            text(frame.left + length + 6, y + BAR - 4, f"{row.per_second:.0f}{share}", "value"),
        ]
    )


def _class(name: str, peers: Sequence[str]) -> str:
    return "peer" if name in peers else "limit" if name.startswith("limit") else "ours"
