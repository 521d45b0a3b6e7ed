"""What the page shows of one model and split, in plain values that the template only lays out.

A view is everything that changes with the two switches at the top of the page. Long lists are cut here, and what was
cut is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from bundle.manifest import MetricEstimate, Task
from trainer.report.heatmap import LARGEST_SHOWN, Mistake, confusion_heatmap, most_frequent_mistakes
from trainer.report.plots import COLOURS, precision_recall_plot, reliability_diagram
from trainer.statistics.document import ImagePrediction, PrecisionRecallCurve, SplitStatistics, Statistics

ROWS_SHOWN_AT_FIRST: Final = 40
_ROWS_AT_MOST: Final = 1000
_CURVES_DRAWN: Final = 40
_LEGEND_AT_MOST: Final = 40

_SUMMARY: Final[dict[Task, tuple[str, ...]]] = {
    Task.SINGLE_LABEL: (
        "accuracy",
        "f1_macro",
        "precision_macro",
        "recall_macro",
        "f1_weighted",
        "mcc",
        "mean_average_precision",
        "cross_entropy",
        "expected_calibration_error",
    ),
    Task.MULTI_LABEL: (
        "mean_average_precision",
        "f1_macro",
        "f1_micro",
        "precision_macro",
        "recall_macro",
        "exact_match",
        "hamming_loss",
        "accuracy",
        "mcc_macro",
        "cross_entropy",
        "expected_calibration_error",
    ),
}
HEADLINE: Final = {Task.SINGLE_LABEL: "accuracy", Task.MULTI_LABEL: "mean_average_precision"}
_PLAIN_NUMBERS: Final = ("cross_entropy", "mcc", "mcc_macro")
_SHORT_NAMES: Final = {
    "mean_average_precision": "Mean AP (mAP)",
    "expected_calibration_error": "Calibration error (ECE)",
}
_AVERAGES: Final = ("_macro", "_micro", "_weighted")


@dataclass(frozen=True)
class Figure:
    """A metric ready to be read: `value` and `interval` are texts, the positions percentages of a 0-100% track."""

    key: str
    value: str
    interval: str | None = None
    at: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class ClassRow:
    label: str
    images: int
    predicted: int
    precision: float
    recall: float
    f1: float
    mcc: float
    average_precision: float | None
    threshold: float | None


@dataclass(frozen=True)
class Chip:
    """A label on a picture. kind: right (true and decided), missed (true, not decided), wrong (decided, not true)."""

    kind: str
    label: str
    percent: str


@dataclass(frozen=True)
class WorstCard:
    image_id: str
    loss: float
    chips: tuple[Chip, ...]


@dataclass(frozen=True)
class LegendEntry:
    label: str
    average_precision: float
    colour: int | None


@dataclass(frozen=True)
class View:
    """Model x split, with its drawn plots."""

    model: str
    split: str
    images: int
    rows: tuple[ClassRow, ...]
    rows_left_out: int
    averages: tuple[tuple[str, float, float, float], ...]
    confusion: Markup | None
    confusion_limited: bool
    mistakes: tuple[Mistake, ...]
    precision_recall: Markup | None
    legend: tuple[LegendEntry, ...]
    pooled_average_precision: float | None
    curves_left_out: int
    thresholds: tuple[ClassRow, ...]
    reliability: Markup
    ece_before: float
    ece_after: float
    known_rejected: float
    worst: tuple[WorstCard, ...]


@dataclass(frozen=True)
class SummaryRow:
    key: str
    name: str
    figures: tuple[Figure | None, ...]


def figure(key: str, estimate: MetricEstimate) -> Figure:
    """A metric as text: fractions in percent, others with three decimals, each with its 95 % interval."""
    if key in _PLAIN_NUMBERS:
        interval = None
        if estimate.low is not None and estimate.high is not None:
            interval = f"{estimate.low:.3f} – {estimate.high:.3f}"
        return Figure(key, f"{estimate.value:.3f}", interval)
    value = f"{estimate.value:.1%}"
    if estimate.low is None or estimate.high is None:
        return Figure(key, value, at=100 * estimate.value)
    interval = f"{100 * estimate.low:.1f} – {100 * estimate.high:.1f}%"
    return Figure(key, value, interval, 100 * estimate.value, 100 * estimate.low, 100 * estimate.high)


def summary_rows(
    statistics: Statistics, splits: Sequence[str], terms: Mapping[str, tuple[str, str]]
) -> list[SummaryRow]:
    """One row a metric, one figure a split (None where it is not defined)."""
    rows = []
    for key in _SUMMARY[statistics.task]:
        figures = tuple(
            figure(key, estimate)
            if split in statistics.splits and (estimate := statistics.splits[split].metrics.get(key)) is not None
            else None
            for split in splits
        )
        if any(figures):
            rows.append(SummaryRow(term_of(key), metric_name(key, terms), figures))
    return rows


def metric_name(metric: str, terms: Mapping[str, tuple[str, str]]) -> str:
    """For a person: "F1, macro". terms: the glossary's; of a metric that it does not hold, the key in words."""
    if metric in _SHORT_NAMES:
        return _SHORT_NAMES[metric]
    term = term_of(metric)
    name = terms[term][0] if term in terms else term.replace("_", " ").capitalize()
    return name if term == metric else f"{name}, {metric.removeprefix(f'{term}_')}"


def term_of(metric: str) -> str:
    """The glossary's key for a metric: f1_macro is explained by f1."""
    for ending in _AVERAGES:
        metric = metric.removesuffix(ending)
    return metric


def build_view(model: str, split: str, statistics: Statistics) -> View:
    """Lay out one split of one model and draw its plots."""
    measured = statistics.splits[split]
    rows = _class_rows(statistics, measured)
    many = len(rows) > ROWS_SHOWN_AT_FIRST
    ordered = sorted(rows, key=lambda row: (row.images == 0, row.f1, row.label)) if many else rows
    drawn = _drawn_curves(measured.curves)
    colours = {curve.label or "": place for place, curve in enumerate(drawn)} if len(drawn) <= COLOURS else {}
    confusion = measured.confusion
    return View(
        model=model,
        split=split,
        images=measured.images,
        rows=tuple(ordered[:_ROWS_AT_MOST]),
        rows_left_out=max(0, len(rows) - _ROWS_AT_MOST),
        averages=tuple((name, each.precision, each.recall, each.f1) for name, each in measured.averages.items()),
        confusion=None if confusion is None else confusion_heatmap(confusion, statistics.labels),
        confusion_limited=confusion is not None and confusion.classes > LARGEST_SHOWN,
        mistakes=() if confusion is None else tuple(most_frequent_mistakes(confusion, statistics.labels)),
        precision_recall=precision_recall_plot(drawn, measured.pooled_curve, colours, f"curve-{model}-{split}")
        if drawn
        else None,
        legend=tuple(
            LegendEntry(curve.label or "", curve.average_precision, colours.get(curve.label or ""))
            for curve in drawn[:_LEGEND_AT_MOST]
        ),
        pooled_average_precision=measured.pooled_curve.average_precision if measured.pooled_curve else None,
        curves_left_out=len(measured.curves) - len(drawn),
        thresholds=tuple(ordered[:ROWS_SHOWN_AT_FIRST]) if statistics.task is Task.MULTI_LABEL else (),
        reliability=reliability_diagram(measured.calibration),
        ece_before=measured.calibration.before.expected_calibration_error,
        ece_after=measured.calibration.after.expected_calibration_error,
        known_rejected=measured.known_rejected_fraction,
        worst=tuple(_worst_card(each) for each in measured.worst),
    )


def _class_rows(statistics: Statistics, measured: SplitStatistics) -> list[ClassRow]:
    multi = statistics.task is Task.MULTI_LABEL
    return [
        ClassRow(
            each.label,
            each.images,
            each.predicted,
            each.precision,
            each.recall,
            each.f1,
            each.mcc,
            each.average_precision,
            threshold if multi else None,
        )
        for each, threshold in zip(measured.classes, statistics.thresholds.values, strict=True)
    ]


def _drawn_curves(curves: Sequence[PrecisionRecallCurve]) -> list[PrecisionRecallCurve]:
    """All curves in label order, or the 40 with the lowest average precision where there are more."""
    if len(curves) <= _CURVES_DRAWN:
        return list(curves)
    return sorted(curves, key=lambda curve: curve.average_precision)[:_CURVES_DRAWN]


def _worst_card(worst: ImagePrediction) -> WorstCard:
    decided = {each.label for each in worst.decided}
    truth = {each.label for each in worst.truth}
    chips = [
        Chip("right" if each.label in decided else "missed", each.label, f"{each.probability:.0%}")
        for each in worst.truth
    ] + [Chip("wrong", each.label, f"{each.probability:.0%}") for each in worst.decided if each.label not in truth]
    return WorstCard(worst.image_id, worst.loss, tuple(chips))
