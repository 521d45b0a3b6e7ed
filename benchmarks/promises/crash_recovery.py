"""Crash recovery: web workers and engine processes are killed under load."""

from __future__ import annotations

from benchmarks.promises.promise import Promise
from benchmarks.promises.shown_by_test import Properties, shown_by_test

MAX_WORKER_S, MAX_ENGINE_S = 1.0, 10.0


def _within(found: Properties) -> bool:
    return float(found["worker_back_s"]) <= MAX_WORKER_S and float(found["engine_back_s"]) <= MAX_ENGINE_S


PROMISE = Promise(
    "crash_recovery",
    "200 kill -9 of workers and engines under load: web back in 1 s, engine in 10 s, no wrong answer",
    shown_by_test(
        "tests/server/test_engine_chaos.py::test_killed_workers_and_engines_cost_no_wrong_answer_and_are_soon_back",
        full={"ONSIGHT_TEST_KILLS": "200"},
        within=_within,
    ),
    quiet_machine=True,
)
