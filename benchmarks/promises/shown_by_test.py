"""Promises that a test shows: run it with the full counts, and take the figure that it records.

The counts are environment variables of the tests; the figures are pytest's own `record_property`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.promises.promise import CannotBeMeasured, Outcome

ROOT = Path(__file__).resolve().parents[2]
Properties = Mapping[str, str]


def shown_by_test(
    *tests: str, full: Mapping[str, str] | None = None, within: Callable[[Properties], bool] = lambda _: True
) -> Callable[[bool], Outcome]:
    """A measurement that runs these tests, as `path::name`.

    full: environment variables of the full run.  within: judges recorded times, which tests themselves never do.
    """

    def measure(everything: bool) -> Outcome:
        with tempfile.TemporaryDirectory(prefix="promise-") as folder:
            report = Path(folder) / "report.xml"
            done = subprocess.run(
                [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", f"--junit-xml={report}", *tests],
                cwd=ROOT,
                env={**os.environ, **(full or {} if everything else {})},
                stdout=subprocess.DEVNULL,  # progress comes on stderr
            )
            return _read(report, done.returncode, within)

    return measure


def _read(report: Path, code: int, within: Callable[[Properties], bool]) -> Outcome:
    """Raises CannotBeMeasured where a test was skipped or did not begin."""
    if not report.exists():
        raise CannotBeMeasured(f"pytest: expected a report, found exit code {code}.")
    cases = list(ElementTree.parse(report).iter("testcase"))
    skipped = [skip.get("message", "") for case in cases for skip in case.iter("skipped")]
    if skipped or not cases:
        raise CannotBeMeasured("; ".join(skipped) or "no such test")
    properties = {str(each.get("name")): str(each.get("value")) for case in cases for each in case.iter("property")}
    broken = [each for case in cases for kind in ("failure", "error") for each in case.iter(kind)]
    if broken:
        return Outcome((broken[0].get("message") or "the test failed").splitlines()[0][:200], kept=False)
    return Outcome(properties.get("figure", f"{len(cases)} tests passed"), within(properties))
