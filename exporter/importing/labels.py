"""A model's labels, in the order of its outputs: a text file, JSON or CSV, or a `transformers` id2label.

Equal names are told apart by a number, since an answer must name one output; empty ones are refused.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from exporter.errors import ExportError
from trainer.data.sources import normal_label

BACKGROUND = "background"


def read_labels(path: Path) -> list[str]:
    """One a line; or JSON: a list, or an object (number -> label, or label -> number; or one that holds `id2label`); or
    CSV: a column, or number and label. Raises ExportError.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = "another encoding than UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise ExportError(f"{path}: expected a file of labels in UTF-8, found {reason}. Check --labels.") from error
    kind = path.suffix.lower()
    if kind == ".json":
        found = _from_json(path, text)
    elif kind in (".csv", ".tsv"):
        found = _from_csv(path, text, "\t" if kind == ".tsv" else ",")
    else:
        found = text.splitlines()
        while found and not found[-1].strip():
            found.pop()
    if not found:
        raise ExportError(f"{path}: expected a label for each output, found none. Write one a line.")
    return _none_empty(str(path), found)


def labels_by_number(source: str, table: Mapping[Any, Any]) -> list[str]:
    """{0: "cat", 1: "dog"} in order. Raises ExportError unless the numbers run from 0 without a gap."""
    try:
        by_number = {int(number): str(label) for number, label in table.items()}
    except (TypeError, ValueError) as error:
        raise ExportError(f"{source}: expected numbers and labels such as {{'0': 'cat'}}, found {error}.") from error
    missing = sorted(set(range(len(table))) - set(by_number))
    if missing:
        raise ExportError(
            f"{source}: expected labels numbered 0 to {len(table) - 1}, found none for {missing[0]}. Number them so."
        )
    return _none_empty(source, [by_number[number] for number in range(len(table))])


def fit_labels(labels: Sequence[str], outputs: int, notes: list[str]) -> tuple[str, ...]:
    """As many as outputs, each once; what was done about it is added to notes. Raises ExportError."""
    fitted = list(labels)
    if len(fitted) == outputs - 1 and outputs > 1000:
        fitted.insert(0, BACKGROUND)
        notes.append(f"{outputs} outputs and {len(labels)} labels: the first output is taken to be '{BACKGROUND}'")
    elif len(fitted) == outputs + 1 and fitted[0].casefold() in (BACKGROUND, f"__{BACKGROUND}__"):
        notes.append(f"{outputs} outputs and {len(labels)} labels: the first label, '{fitted.pop(0)}', was left out")
    if len(fitted) != outputs:
        remedy = "Give --labels with one for each output, in their order."
        if outputs == 1 and len(fitted) == 2:
            remedy = "One output is one label, present or not: name the one that a high score stands for."
        raise ExportError(f"labels: expected {outputs}, one an output, found {len(fitted)}. {remedy}")
    seen: dict[str, int] = {}
    taken = set(fitted)
    for place, label in enumerate(fitted):
        if label not in seen:
            seen[label] = place
            continue
        number = 2
        while f"{label} ({number})" in taken:
            number += 1
        fitted[place] = f"{label} ({number})"
        taken.add(fitted[place])
        notes.append(f"label '{label}' stands at {seen[label]} and {place}: the second is called '{fitted[place]}'")
    return tuple(fitted)


def _none_empty(source: str, labels: Sequence[str]) -> list[str]:
    named = [normal_label(label) for label in labels]
    empty = [place for place, label in enumerate(named) if not label]
    if empty:
        raise ExportError(f"{source}: expected a label for each output, found an empty one for {empty[0]}. Name it.")
    return named


def _from_json(path: Path, text: str) -> list[str]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ExportError(f"{path}: expected JSON, found {error}. Name a file of one label a line .txt.") from error
    if isinstance(document, dict) and isinstance(document.get("id2label"), dict):
        document = document["id2label"]
    if isinstance(document, list) and all(isinstance(label, str) for label in document):
        return document
    if isinstance(document, dict) and document and all(isinstance(n, int) for n in document.values()):
        return labels_by_number(str(path), {number: label for label, number in document.items()})
    if isinstance(document, dict) and all(isinstance(label, str) for label in document.values()):
        return labels_by_number(str(path), document)
    raise ExportError(f'{path}: expected ["cat", "dog"] or {{"0": "cat", "1": "dog"}}, found another document.')


def _from_csv(path: Path, text: str, delimiter: str) -> list[str]:
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if any(cell.strip() for cell in row)]
    width = len(rows[0]) if rows else 0
    if width not in (1, 2) or any(len(row) != width for row in rows):
        raise ExportError(f"{path}: expected one column of labels, or number and label, found another table.")
    if width == 1:
        head = rows[0][0].strip().casefold() in ("label", "labels", "name", "class")
        return [row[0] for row in rows[1 if head else 0 :]]
    head = not rows[0][0].strip().isdecimal()
    numbers = [row[0].strip() for row in rows[1 if head else 0 :]]
    if len(set(numbers)) != len(numbers):
        raise ExportError(f"{path}: expected each number once, found one twice. Number the labels from 0.")
    return labels_by_number(str(path), {row[0].strip(): row[1] for row in rows[1 if head else 0 :]})
