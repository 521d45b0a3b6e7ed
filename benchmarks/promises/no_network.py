"""No network: tests run in a namespace with loopback alone, and the kernel tells of every address they try.

Short: real servers with their clients. Full: every test but those that drive a browser, whose attempts are its own.
"""

from __future__ import annotations

import os
import re
import sys

from benchmarks.promises.promise import CannotBeMeasured, Outcome, Promise
from benchmarks.promises.rig import ROOT

from outside_connections import missing_for_namespaces, run_without_network  # isort: skip - the rig's own path

SHORT = ("tests/server/test_http.py",)
FULL = ("tests", "-m", "not browser")
LIMIT_S = 5400


def measure(full: bool) -> Outcome:
    missing = missing_for_namespaces()
    if missing:
        raise CannotBeMeasured(missing)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *(FULL if full else SHORT)]
    done, outside = run_without_network(command, ROOT, os.environ, LIMIT_S)
    text = done.stdout.decode(errors="replace")
    counts = re.findall(r"\d+ (?:passed|failed|skipped|errors?)", text[-400:])
    tried = ", ".join(sorted(outside)) or "nothing"
    return Outcome(f"{', '.join(counts) or 'no test ran'}; outside: {tried}", bool(counts) and not outside)


PROMISE = Promise("no_network", "The suite on loopback alone: no outside connect", measure)
