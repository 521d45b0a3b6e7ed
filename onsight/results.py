"""Answers as CSV, JSON, or images copied into one folder a label. Files appear whole; an early end keeps what there
is.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

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


def copy_by_label(answers: Iterable[Answer], root: Path, out: Path) -> Iterator[Answer]:
    """Copy each image to out/LABEL/ for every label claimed of it, and pass the answer on."""
    for answer in answers:
        folders: Sequence[str] = [folder_name(label) for label in answer.labels]
        if answer.error is not None:
            folders = [UNREADABLE_FOLDER]
        elif answer.unknown:
            folders = [UNKNOWN_FOLDER]
        for folder in folders or [NO_LABEL_FOLDER]:
            target = out / folder / answer.file.replace("/", "__")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / answer.file, target)
        yield answer


def folder_name(label: str) -> str:
    """A label as a folder's name: no separators, no leading dot or underscore of ours, never empty."""
    safe = re.sub(r'[\x00-\x1f/\\:*?"<>|]', "_", label).strip().rstrip(".")
    return safe.lstrip("._") or "label"


@contextmanager
def whole_file(path: Path) -> Iterator[IO[str]]:
    """A text file that replaces `path` at the end; an interrupt keeps the rows so far, an error leaves the old file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        try:
            yield file
        except KeyboardInterrupt:
            file.flush()
            temporary.replace(path)
            raise
    temporary.replace(path)
