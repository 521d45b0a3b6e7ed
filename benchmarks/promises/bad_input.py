"""Bad input never kills: mutations of forty hostile and unusual images, sent one after the other."""

from __future__ import annotations

from benchmarks.promises.promise import Promise
from benchmarks.promises.shown_by_test import Properties, shown_by_test

MAX_SECONDS = 2.0


def _within(found: Properties) -> bool:
    return float(found["slowest_s"]) <= MAX_SECONDS


PROMISE = Promise(
    "bad_input",
    "10,000 bad inputs: no 5xx, no restart, at most 2 s each, memory grows by less than 100 MB",
    shown_by_test(
        "tests/server/test_bad_images_over_http.py::test_mutations_of_bad_images_are_answered_and_kill_nothing",
        full={"ONSIGHT_TEST_BAD_INPUTS": "10000"},
        within=_within,
    ),
)
