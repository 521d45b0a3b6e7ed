"""The section of RESULTS.md that this room owns: a row a promise, between two markers. Other parts stay untouched."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from benchmarks.promises.promise import Outcome, Promise

RESULTS = Path(__file__).parents[1] / "RESULTS.md"
BEGIN, END = "<!-- promises: begin -->", "<!-- promises: end -->"
_HEAD = (
    "## What the server promises: `python -m benchmarks.promises --full`\n\n"
    "Full counts; `python -m benchmarks.promises NAME --full` runs one. The suite has small ones. The load\n"
    "is the machine's average over the last quarter of an hour: above its number of cores, times are upper bounds.\n\n"
    "| name | promise | measured | load | kept |\n|---|---|---|---:|---|\n"
)
_ROW = re.compile(r"^\| `(\w+)` \|.*$", re.MULTILINE)


def row(promise: Promise, outcome: Outcome) -> str:
    measured = outcome.figure.replace("|", "\\|")
    load = os.getloadavg()[2]
    return f"| `{promise.name}` | {promise.text} | {measured} | {load:.0f} | {'yes' if outcome.kept else '**no**'} |"


def record(found: Mapping[Promise, Outcome], order: tuple[Promise, ...], path: Path = RESULTS) -> None:
    """Write these rows in the order of the promises; rows of promises that were not measured now stay as they are."""
    text = path.read_text(encoding="utf-8")
    start, end = text.find(BEGIN), text.find(END)
    section = text[start:end] if start >= 0 else ""
    rows = {match[1]: match[0] for match in _ROW.finditer(section)}
    rows |= {promise.name: row(promise, outcome) for promise, outcome in found.items()}
    lines = [rows[promise.name] for promise in order if promise.name in rows]
    new = f"{BEGIN}\n{_HEAD}" + "\n".join(lines) + f"\n{END}"
    before, after = (text[:start], text[end + len(END) :]) if start >= 0 else (f"{text.rstrip()}\n\n", "\n")
    path.write_text(before + new + after, encoding="utf-8")
