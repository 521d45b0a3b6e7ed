"""Render the report: one HTML file that holds everything it shows and asks nobody for anything.

Views are laid out, the page is rendered once without pictures to learn its size, then with as many thumbnails as fit.
Every text that comes from data is escaped by the template engine; a content security policy in the page forbids
requests and any script but the page's own.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from typing import Any, Final

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from bundle.manifest import Task
from trainer.report.glossary import glossary
from trainer.report.plots import learning_curve
from trainer.report.run_info import RunInfo
from trainer.report.thumbnails import embed_thumbnails
from trainer.report.views import HEADLINE, ROWS_SHOWN_AT_FIRST, View, build_view, figure, summary_rows
from trainer.statistics import SPLITS, Statistics

LARGEST_REPORT: Final = 2_900_000  # characters; pictures get what the rest of the page leaves
_SKIPPED_LISTED: Final = 200
_LABEL_BARS: Final = 40
_PARTS: Final = ("template.html", "sections.html", "macros.html")


def render_report(
    run_info: RunInfo,
    statistics: Mapping[str, Statistics],
    history: Sequence[Mapping[str, Any]],
    load_thumbnail: Callable[[str], bytes | None],
) -> str:
    """The whole report as HTML text.

    statistics: model name ("best", "last") -> its document; the first one, or "best", is shown first.
    history: the run's event rows; those with event "epoch" are drawn.
    load_thumbnail: image id -> small JPEG bytes, or None where the image cannot be read.
    """
    if not statistics:
        raise ValueError("statistics: expected at least one model, found none. There is nothing to report.")
    models = sorted(statistics, key=lambda name: name != "best")
    splits = [name for name in reversed(SPLITS) if any(name in each.splits for each in statistics.values())]
    views = [
        build_view(model, split, statistics[model])
        for model in models
        for split in splits
        if split in statistics[model].splits
    ]
    terms = glossary(run_info.task)
    script = _resource("report.js")
    values: dict[str, Any] = {
        "run": run_info,
        "single": run_info.task is Task.SINGLE_LABEL,
        "created": _date(run_info.created_at),
        "duration": None if run_info.duration_s is None else duration_text(run_info.duration_s),
        "models": models,
        "splits": splits,
        "shown": views[0],
        "views": views,
        "headline": _headline(run_info.task, statistics[models[0]], splits),
        "summaries": {model: summary_rows(statistics[model], splits, terms) for model in models},
        "statistics": statistics,
        "notes": _notes(statistics),
        "skipped": run_info.skipped[:_SKIPPED_LISTED],
        "learning": _learning_curves(run_info, history),
        "label_bars": _label_bars(statistics[models[0]]),
        "terms": terms,
        "recipe": list(_flattened(run_info.recipe)),
        "provenance": list(_flattened(run_info.provenance)),
        "rows_at_first": ROWS_SHOWN_AT_FIRST,
        "split_order": [name for name in SPLITS if name in splits],
        "style": Markup(_resource("plots.css") + _resource("report.css")),  # noqa: S704 - our own files
        "script": Markup(script),  # noqa: S704 - our own file
        "script_digest": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
    }
    template = _environment().get_template("template.html")
    without_pictures = template.render(values, thumbnails={})
    room = LARGEST_REPORT - len(without_pictures.encode(errors="backslashreplace"))
    thumbnails = embed_thumbnails(_worst_images(views), load_thumbnail, room)
    return template.render(values, thumbnails=thumbnails) if thumbnails else without_pictures


def duration_text(seconds: float) -> str:
    """75.2 -> "1 min 15 s"."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=DictLoader({name: _resource(name) for name in _PARTS}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda value: f"{value:.1%}"
    environment.filters["decimal"] = lambda value: f"{round(value, 3) + 0.0:.3f}"  # + 0.0 turns -0.0 into 0.0
    environment.filters["thousands"] = lambda value: f"{value:,}"
    environment.filters["capitalised"] = lambda value: value[:1].upper() + value[1:]
    return environment


def _resource(name: str) -> str:
    return files("trainer.report").joinpath(name).read_text(encoding="utf-8")


def _date(created_at: str) -> str:
    try:
        moment = datetime.fromisoformat(created_at)
    except ValueError:
        return created_at
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def _headline(task: Task, statistics: Statistics, splits: Sequence[str]) -> list[dict[str, Any]]:
    """The two large figures: the task's own metric on test (or what there is) and on validation."""
    key = HEADLINE[task]
    return [
        {"split": split, "images": statistics.splits[split].images, "figure": figure(key, estimate)}
        for split in splits
        if split in statistics.splits and (estimate := statistics.splits[split].metrics.get(key)) is not None
    ][:2]


def _notes(statistics: Mapping[str, Statistics]) -> list[tuple[str, str]]:
    """Each note once, in order of first appearance."""
    said = {(note.code, note.message): None for each in statistics.values() for note in each.notes}
    return list(said)


def _learning_curves(run_info: RunInfo, history: Sequence[Mapping[str, Any]]) -> list[tuple[str, Markup]]:
    rows = [row for row in history if row.get("event") == "epoch" and isinstance(row.get("epoch"), int)]
    best = run_info.best_epoch
    if best is None:
        best = next((row["epoch"] for row in reversed(rows) if row.get("best")), None)
    accuracy = "Accuracy" if run_info.task is Task.SINGLE_LABEL else "Label accuracy"
    drawn = [
        (
            title,
            learning_curve(rows, [(f"train_{key}", "Train"), (f"validation_{key}", "Validation")], title, best, share),
        )
        for title, key, share in (("Cross-entropy", "loss", False), (accuracy, "accuracy", True))
    ]
    return [(title, plot) for title, plot in drawn if plot is not None]


def _label_bars(statistics: Statistics) -> dict[str, Any]:
    """Images per label and split, most frequent first; of many labels the most and the least frequent ones."""
    totals = {
        label: {name: split.label_counts[label] for name, split in statistics.splits.items()}
        for label in statistics.labels
    }
    ordered = sorted(totals, key=lambda label: -sum(totals[label].values()))
    kept = ordered if len(ordered) <= _LABEL_BARS else ordered[: _LABEL_BARS // 2] + ordered[-_LABEL_BARS // 2 :]
    most = max((sum(counts.values()) for counts in totals.values()), default=1) or 1
    rows = [{"label": label, "counts": totals[label], "total": sum(totals[label].values())} for label in kept]
    return {"rows": rows, "most": most, "left_out": len(ordered) - len(kept)}


def _flattened(mapping: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Names and values as a person reads them: {"augmentation": {"flip": True}} -> ("augmentation, flip", "yes")."""
    for key, value in mapping.items():
        name = prefix + str(key).replace("_", " ")
        if isinstance(value, Mapping) and value:
            yield from _flattened(value, f"{name}, ")
        elif isinstance(value, bool) or value is None:
            yield name, {True: "yes", False: "no", None: "none"}[value]
        else:
            yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _worst_images(views: Sequence[View]) -> Iterable[str]:
    return (card.image_id for view in views for card in view.worst)
