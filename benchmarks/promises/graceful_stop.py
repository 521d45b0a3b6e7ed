"""Graceful stop: clients that obey readiness lose no request, and the server is gone in time."""

from __future__ import annotations

from benchmarks.promises.promise import Promise
from benchmarks.promises.shown_by_test import Properties, shown_by_test

MAX_SECONDS = 30.0


def _within(found: Properties) -> bool:
    return float(found["slowest_s"]) <= MAX_SECONDS


PROMISE = Promise(
    "graceful_stop",
    "Readiness turns 503 first, the port stays open: nothing broken for clients that obey it, exit in 30 s",
    shown_by_test("tests/server/test_graceful_stop.py", full={"ONSIGHT_TEST_STOPS": "20"}, within=_within),
)
