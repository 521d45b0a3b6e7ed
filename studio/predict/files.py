"""Answers as files: a CSV table, and a zip of the images in folders by what the model claims. Made while it is sent."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator
from typing import Final

from bundle.decide import Decision
from bundle.manifest import Manifest
from server.problems import Problem
from studio.csv_cells import text_cell
from studio.predict.answering import Answered
from studio.zip_stream import ZipSink, folder_name

UNKNOWN: Final = "_unknown"  # resembles nothing that the model was trained on
NOTHING: Final = "_none"  # no label reaches its threshold
RESULTS_NAME: Final = "results.csv"


def csv_header(manifest: Manifest) -> list[str]:
    return ["name", "labels", "unknown", *manifest.labels, "problem"]


def csv_row(manifest: Manifest, one: Answered) -> list[str]:
    """Probabilities from 0 to 1 in the manifest's order."""
    if isinstance(one.answer, Problem):
        return [one.name, "", "", *("" for _ in manifest.labels), one.answer.detail]
    decision = one.answer.decision
    found = {score.label: score.probability for score in decision.scores}
    scores = [f"{found[label]:.6f}" for label in manifest.labels]
    return [one.name, ", ".join(decision.labels), str(decision.unknown).lower(), *scores, ""]


def csv_lines(rows: Iterable[list[str]]) -> Iterator[str]:
    """One text a row, as they come."""
    for row in rows:
        line = io.StringIO()
        csv.writer(line).writerow(map(text_cell, row))
        yield line.getvalue()


def folders_of(decision: Decision) -> list[str]:
    """Where an image goes: one folder for each label that is claimed."""
    if decision.unknown:
        return [UNKNOWN]
    return [folder_name(label) or "_" for label in decision.labels] or [NOTHING]


def zip_of(manifest: Manifest, answered: Iterable[Answered]) -> Iterator[bytes]:
    """A zip archive, bit by bit: label/name of every image that could be read, and results.csv at the end."""
    sink = ZipSink()
    rows = [csv_header(manifest)]
    taken: set[str] = set()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # images do not get smaller
        for one in answered:
            rows.append(csv_row(manifest, one))
            if one.data is None or isinstance(one.answer, Problem):
                continue
            for folder in folders_of(one.answer.decision):
                archive.writestr(_free_name(folder, one.name, taken), one.data)
                yield sink.take()
        archive.writestr(RESULTS_NAME, "".join(csv_lines(rows)).encode())
    yield sink.take()


def _free_name(folder: str, name: str, taken: set[str]) -> str:
    """One that no earlier file has, in any case of letters: some systems tell no case."""
    plain = folder_name(name.rpartition("/")[2]) or "image"
    stem, dot, ending = plain.rpartition(".")
    found, number = f"{folder}/{plain}", 1
    while found.lower() in taken:
        number += 1
        found = f"{folder}/{stem} ({number}).{ending}" if dot else f"{folder}/{plain} ({number})"
    taken.add(found.lower())
    return found
