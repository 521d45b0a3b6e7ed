"""Answers as CSV, as JSON, or as images copied into one folder a label. A file appears whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Any

from bundle.files import atomic_file
from onsight.labelling import Answer

UNKNOWN_FOLDER, NO_LABEL_FOLDER, UNREADABLE_FOLDER = "_unknown", "_no_label", "_unreadable"
MAX_SCORE_COLUMNS = 200


def write_csv(answers: Iterable[Answer], labels: Sequence[str], out: IO[str]) -> None:
    """Columns: file, labels (joined by |), unknown, error, then `score:LABEL`, 0 to 100, for up to 200 labels."""
    columns = list(labels) if len(labels) <= MAX_SCORE_COLUMNS else []
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["file", "labels", "unknown", "error", *(f"score:{label}" for label in columns)])
    for answer in answers:
        scores = dict(answer.probabilities)
        cells = [f"{100 * scores[label]:.3f}" if label in scores else "" for label in columns]
        unknown = str(answer.unknown).lower() if answer.error is None else ""
        writer.writerow([answer.file, "|".join(answer.labels), unknown, answer.error or "", *cells])


def write_json(answers: Iterable[Answer], labels: Sequence[str], out: IO[str]) -> None:
    """A JSON array, one object an image; `scores` 0 to 100, highest first."""
    separator = "[\n"
    for answer in answers:
        out.write(separator + json.dumps(as_dict(answer), ensure_ascii=False))
        separator = ",\n"
    out.write("[]\n" if separator == "[\n" else "\n]\n")


def as_dict(answer: Answer) -> dict[str, Any]:
    if answer.error is not None:
        return {"file": answer.file, "error": answer.error}
    scores = [{"label": label, "score": round(100 * value, 4)} for label, value in answer.probabilities]
    return {"file": answer.file, "labels": list(answer.labels), "unknown": answer.unknown, "scores": scores}


def copy_by_label(answers: Iterable[Answer], root: Path, out: Path, labels: Sequence[str]) -> Iterator[Answer]:
    """Copy each image to out/LABEL/ for every label claimed of it, below the folders it came from, and pass it on.

    labels: all that the model knows, so that each has a folder of its own. A server may have another model later.
    """
    known = list(labels)
    names = folder_names(known)
    for answer in answers:
        if new := [label for label in answer.labels if label not in names]:
            known += new
            names = folder_names(known)
        folders = [names[label] for label in answer.labels]
        if answer.error is not None:
            folders = [UNREADABLE_FOLDER]
        elif answer.unknown:
            folders = [UNKNOWN_FOLDER]
        for folder in folders or [NO_LABEL_FOLDER]:
            target = out / folder / answer.file
            target.parent.mkdir(parents=True, exist_ok=True)
            with suppress(OSError) if answer.error is not None else nullcontext():  # what cannot be read is not copied
                shutil.copy2(root / answer.file, target)
        yield answer


def folder_names(labels: Sequence[str]) -> dict[str, str]:
    """A folder's name for each label, no two the same on any file system: "a/b" and "a:b" become a_b and a_b-2."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for label in labels:
        base = name = _folder_name(label)
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{base}-{number}"
        taken.add(name.casefold())
        names[label] = name
    return names


def _folder_name(label: str) -> str:
    """No separators, no leading dot, no leading underscore (those are ours), at most 150 bytes, never empty."""
    safe = re.sub(r'[\x00-\x1f\x7f/\\:*?"<>|]', "_", label).lstrip("._ ")
    return safe.encode()[:150].decode(errors="ignore").rstrip(". ") or "label"


@contextmanager
def open_results(path: Path | None) -> Iterator[IO[str]]:
    """A text file that becomes `path`, whole, when the block ends well, else leaves what is there; None: stdout.

    File names that are no UTF-8 are written with backslashes.
    """
    if path is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="")
        yield text
        text.flush()
        text.detach()
