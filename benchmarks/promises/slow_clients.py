"""Slow clients are harmless: behind nginx, as the manual sets it up, and without any proxy."""

from __future__ import annotations

from benchmarks.promises.promise import Promise
from benchmarks.promises.shown_by_test import shown_by_test

_FULL = {"ONSIGHT_TEST_SLOW_CLIENTS": "1000"}

PROMISES = (
    Promise(
        "slow_clients",
        "1,000 slow connections, no proxy: 99 % of good requests answered",
        shown_by_test(
            "tests/server/test_slow_clients.py::test_a_thousand_slow_clients_keep_no_good_one_from_its_answer",
            full=_FULL,
        ),
    ),
    Promise(
        "slow_clients_nginx",
        "1,000 slow connections through nginx: 99 % of good requests answered",
        shown_by_test("tests/docker/test_nginx.py::test_slow_clients_are_harmless", full=_FULL),
    ),
)
