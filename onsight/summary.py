"""Statistics as text for a terminal."""

from __future__ import annotations

from bundle.manifest import MetricEstimate, Task
from trainer.statistics import Statistics

SPLIT_ORDER = ("test", "validation", "train")


def summarise(statistics: Statistics, *, classes: int = 40) -> str:
    """A table of headline figures by split, then one row a label of the most telling split."""
    splits = [name for name in SPLIT_ORDER if name in statistics.splits]
    names = list(dict.fromkeys(name for split in splits for name in statistics.splits[split].metrics))
    rows = [["", *(f"{split} ({statistics.splits[split].images:,})" for split in splits)]]
    rows += [
        [name.replace("_", " "), *(_estimate(statistics.splits[split].metrics.get(name)) for split in splits)]
        for name in names
    ]
    lines = _columns(rows)
    shown = splits[0]
    entries = statistics.splits[shown].classes
    header = ["label", "images", "precision", "recall", "F1", "AP"]
    if statistics.task is Task.MULTI_LABEL:
        header.append("threshold")
    table = [[f"{shown}, by label", *header[1:]]]
    for entry, threshold in zip(entries[:classes], statistics.thresholds.values, strict=False):
        row = [entry.label, f"{entry.images:,}", *(f"{v:.3f}" for v in (entry.precision, entry.recall, entry.f1))]
        row.append("" if entry.average_precision is None else f"{entry.average_precision:.3f}")
        if statistics.task is Task.MULTI_LABEL:
            row.append(f"{threshold:.3f}")
        table.append(row)
    lines += ["", *_columns(table)]
    if len(entries) > classes:
        lines.append(f"... and {len(entries) - classes} more labels in the report")
    lines += [f"note: {note.message}" for note in statistics.notes]
    return "\n".join(lines)


def _estimate(estimate: MetricEstimate | None) -> str:
    if estimate is None:
        return ""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f}-{estimate.high:.3f})"


def _columns(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
