"""Statistics as text for a terminal: one sentence, the headline figures by split, the labels, what is mixed up.

A selection, so that it fits a screen; report.html has the rest.
"""

from __future__ import annotations

from bundle.manifest import MetricEstimate, Task
from trainer.statistics import SplitStatistics, Statistics

SPLIT_ORDER = ("test", "validation", "train")
HEADLINES = {
    Task.SINGLE_LABEL: (
        ("accuracy", "accuracy"),
        ("f1_macro", "F1 (macro)"),
        ("cross_entropy", "cross-entropy"),
        ("mcc", "Matthews corr."),
        ("expected_calibration_error", "calibration error"),
    ),
    Task.MULTI_LABEL: (
        ("mean_average_precision", "mAP"),
        ("f1_macro", "F1 (macro)"),
        ("f1_micro", "F1 (micro)"),
        ("exact_match", "exact match"),
        ("hamming_loss", "Hamming loss"),
        ("expected_calibration_error", "calibration error"),
    ),
}
ALL_LABELS = 20  # so many are all shown; of more, the weakest
MIXED_UP = 3
LABEL_WIDTH = 32


def summarise(statistics: Statistics) -> str:
    """Some twenty lines for most data sets, at most 80 columns wide where labels are short."""
    splits = [name for name in SPLIT_ORDER if name in statistics.splits]
    shown = splits[0]
    parts = [
        [_sentence(statistics, shown)],
        _metrics_table(statistics, splits),
        _labels_table(statistics, shown),
        _mixed_up(statistics, shown),
        [f"Note: {note.message}" for note in statistics.notes],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _sentence(statistics: Statistics, shown: str) -> str:
    split = statistics.splits[shown]
    if statistics.task is Task.SINGLE_LABEL:
        estimate, form, text = split.metrics.get("accuracy"), "{:.1%}", "Right on {} of {:,} {} images"
    else:
        estimate, form, text = split.metrics.get("mean_average_precision"), "{:.3f}", "mAP {} on {:,} {} images"
    if estimate is None:
        return f"Measured on {split.images:,} {shown} images."
    sentence = text.format(form.format(estimate.value), split.images, shown)
    if estimate.low is None or estimate.high is None:
        return f"{sentence}."
    return f"{sentence} (95 % interval {form.format(estimate.low)} to {form.format(estimate.high)})."


def _metrics_table(statistics: Statistics, splits: list[str]) -> list[str]:
    rows = [["", *(f"{name} ({statistics.splits[name].images:,})" for name in splits)]]
    for metric, title in HEADLINES[statistics.task]:
        rows.append([title, *(_estimate(statistics.splits[name].metrics.get(metric)) for name in splits)])
    return _columns(rows)


def _labels_table(statistics: Statistics, shown: str) -> list[str]:
    multi_label = statistics.task is Task.MULTI_LABEL
    entries = list(zip(statistics.splits[shown].classes, statistics.thresholds.values, strict=True))
    title = f"{shown}, by label"
    if len(entries) > ALL_LABELS:
        title = f"{shown}: the {ALL_LABELS} weakest of {len(entries):,} labels"
        entries = sorted(entries, key=lambda entry: entry[0].f1)[:ALL_LABELS]
    rows = [[title, "images", "precision", "recall", "F1", "AP", *(["threshold"] if multi_label else [])]]
    for entry, threshold in entries:
        figures = [entry.precision, entry.recall, entry.f1, entry.average_precision]
        row = [
            _short(entry.label),
            f"{entry.images:,}",
            *("" if figure is None else f"{figure:.3f}" for figure in figures),
        ]
        rows.append([*row, f"{threshold:.3f}"] if multi_label else row)
    return _columns(rows)


def _mixed_up(statistics: Statistics, shown: str) -> list[str]:
    """Which label is most often taken for which; single-label only."""
    split: SplitStatistics = statistics.splits[shown]
    cells = () if split.confusion is None else split.confusion.cells
    wrong = sorted((-images, truth, found) for truth, found, images in cells if truth != found)
    lines = [
        f"{_short(statistics.labels[truth])} taken for {_short(statistics.labels[found])}: {-images:,} of"
        f" {split.classes[truth].images:,}"
        for images, truth, found in wrong[:MIXED_UP]
    ]
    return ["Most mistakes:", *(f"  {line}" for line in lines)] if lines else []


def _estimate(estimate: MetricEstimate | None) -> str:
    if estimate is None:
        return ""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f}-{estimate.high:.3f})"


def _short(label: str) -> str:
    return label if len(label) <= LABEL_WIDTH else label[: LABEL_WIDTH - 3] + "..."


def _columns(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
