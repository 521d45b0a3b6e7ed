"""The pictures of a model card, as SVG files that stand beside it in the bundle.

Which label was taken for which (or, where an image has several, how well each label is found), how far confidence can
be trusted, and what each variant loses. Drawn from the run's statistics and the manifest; the same ones give the same
bytes. Never shows an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from bundle.manifest import Manifest, Variant
from trainer.report.heatmap import confusion_heatmap
from trainer.report.picture_file import picture_file
from trainer.report.plots import reliability_diagram
from trainer.report.svg import Frame, element, nice_ticks, path, picture, text
from trainer.statistics import Statistics
from trainer.statistics.document import ClassMetrics

CONFUSION, LABELS, RELIABILITY, VARIANTS = (
    f"card-{name}.svg" for name in ("confusion", "labels", "reliability", "variants")
)
PLOTS: Final = {
    CONFUSION: "Confusion matrix: rows are the true labels, columns what the model says",
    LABELS: "Average precision of each label",
    RELIABILITY: "Reliability diagram: how often the model is right, by how sure it is",
    VARIANTS: "Variants compared with full precision",
}
"""File name -> what it shows, in the order of the card."""

HOW_TO_READ: Final = {
    RELIABILITY: "A bar for each range of confidence: dark as far as confidence and accuracy agree, then red by how"
    " much the model was surer than it was right, or pale green by how much less sure. The dotted line: accuracy before"
    " the temperature. Below: how many answers were that sure.",
}
"""File name -> what a look at it does not tell."""

MOST_LABELS: Final = 40
_ROW: Final = 34.0
_LETTERS: Final = 20


def draw_plots(manifest: Manifest, statistics: Statistics) -> dict[str, bytes]:
    """SVG files by name. Of the test images, or the validation images where there are none."""
    split = next((statistics.splits[name] for name in ("test", "validation") if name in statistics.splits), None)
    plots: dict[str, Markup] = {}
    if split is not None:
        if split.confusion is not None:
            plots[CONFUSION] = confusion_heatmap(split.confusion, statistics.labels)
        else:
            plots[LABELS] = label_scores(split.classes)
        plots[RELIABILITY] = reliability_diagram(split.calibration)
    if any(variant.certificate is not None for variant in manifest.variants):
        plots[VARIANTS] = variants_plot(manifest)
    return {name: picture_file(plot) for name, plot in plots.items()}


def label_scores(classes: Sequence[ClassMetrics]) -> Markup:
    """Average precision as bars; of many labels those 40 that are found worst, in label order."""
    scored = [(place, each) for place, each in enumerate(classes) if each.average_precision is not None]
    worst = sorted(scored, key=lambda pair: (pair[1].average_precision, pair[0]))[:MOST_LABELS]
    shown = [each for _, each in sorted(worst, key=lambda pair: pair[0])]
    frame = Frame(160, 4, 300, 24.0 * len(shown))
    ticks = [(value / 4, f"{value * 25}%") for value in range(5)]
    drawn = [frame.axes(ticks, [], "Average precision"), *_uprights(frame, [value for value, _ in ticks])]
    for place, each in enumerate(shown):
        score, top = each.average_precision or 0.0, frame.top + 24.0 * place + 4
        drawn.append(element("rect", x=frame.left, y=top, width=max(1.0, frame.width * score), height=16, class_="bar"))
        drawn.append(text(frame.left - 9, top + 12, _shortened(each.label), "cm-label", "end"))
        drawn.append(text(frame.right + 10, top + 12, f"{score:.1%}, {each.images:,} images", "tick"))
    return picture(frame.right + 140, frame.bottom + 46, PLOTS[LABELS], *drawn)


def variants_plot(manifest: Manifest) -> Markup:
    """The metric of each certified variant, with the interval of its difference from full precision; the limit."""
    certified = [(each, each.certificate) for each in manifest.variants if each.certificate is not None]
    first = certified[0][1]
    full, limit = first.full, first.full - first.limits.max_loss
    own = manifest.metrics.get(first.split, {}).get(first.metric)
    rows = [("full precision", "", full, full if own is None or own.low is None else own.low,
             full if own is None or own.high is None else own.high)]  # fmt: skip
    for variant, each in certified:
        low = each.value if each.loss.high is None else full - each.loss.high
        high = each.value if each.loss.low is None else full - each.loss.low
        rows.append((variant.name, _beside(variant), each.value, low, high))
    least, most = min(limit, *(row[3] for row in rows)), max(row[4] for row in rows)
    room = (most - least) * 0.06 or 0.01
    frame = Frame(120, 24, 330, _ROW * len(rows), (max(0.0, least - room), min(1.0, most + room)))
    ticks = nice_ticks(*frame.x_range, 5)
    title = f"{first.metric.replace('_', ' ').capitalize()} on {first.images:,} {first.split} images"
    drawn = [
        frame.axes([(value, f"{value:.1%}") for value in ticks], [], title),
        *_uprights(frame, ticks),
        _marked(frame, full, "best-line"),
        _marked(frame, limit, "limit"),
        text(frame.x(limit) - 5, frame.top - 8, "limit", "tick", "end"),
    ]
    for place, (label, beside, value, low, high) in enumerate(rows):
        y = frame.top + _ROW * (place + 0.5)
        colour = "line-1" if place else "line-0"
        drawn.append(path([(frame.x(low), y), (frame.x(high), y)], f"line {colour}"))
        drawn.append(element("circle", cx=frame.x(value), cy=y, r=5, class_=f"dot {colour}"))
        drawn.append(text(frame.left - 10, y + 4, label, "cm-label", "end"))
        drawn.append(text(frame.right + 12, y + 4, beside, "tick"))
    return picture(frame.right + 235, frame.bottom + 46, PLOTS[VARIANTS], *drawn)


def _beside(variant: Variant) -> str:
    certificate = variant.certificate
    assert certificate is not None
    flipped = certificate.decisions_flipped
    return f"{certificate.agreement:.1%} agree, {flipped:,} answer{'' if flipped == 1 else 's'} changed"


def _uprights(frame: Frame, values: Sequence[float]) -> list[Markup]:
    return [_marked(frame, value, "grid") for value in values]


def _marked(frame: Frame, value: float, class_: str) -> Markup:
    x = frame.x(value)
    return element("line", x1=x, x2=x, y1=frame.top, y2=frame.bottom, class_=class_)


def _shortened(name: str) -> str:
    return name if len(name) <= _LETTERS else name[: _LETTERS - 1] + "…"
