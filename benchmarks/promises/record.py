"""The section of RESULTS.md that this room owns: a row a promise."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from benchmarks.promises.promise import Outcome, Promise
from benchmarks.sections import RESULTS, read_section, replace_section

SECTION = "promises"
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
    rows = {match[1]: match[0] for match in _ROW.finditer(read_section(text, SECTION))}
    rows |= {promise.name: row(promise, outcome) for promise, outcome in found.items()}
    lines = [rows[promise.name] for promise in order if promise.name in rows]
    path.write_text(replace_section(text, SECTION, _HEAD + "\n".join(lines)), encoding="utf-8")
