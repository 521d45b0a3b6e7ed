"""How far a build is: nested phases, as TensorRT reports them, as one number that only grows, and a rough estimate."""

from __future__ import annotations

import threading

import pytest

from server.engines.tensorrt.progress import BuildProgress, BuildTracker


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def tracked() -> tuple[BuildTracker, list[BuildProgress], Clock]:
    clock, reports = Clock(), list[BuildProgress]()
    return BuildTracker(reports.append, clock), reports, clock


def test_a_phase_is_as_far_as_its_steps_and_what_runs_within_them() -> None:
    tracker, _, _ = tracked()
    tracker.start("Building engine", None, 4)
    assert tracker.fraction == 0
    tracker.step("Building engine", 0)
    assert tracker.fraction == pytest.approx(1 / 4)
    tracker.start("Timing tactics", "Building engine", 10)
    tracker.step("Timing tactics", 0)
    assert tracker.fraction == pytest.approx((1 + 1 / 10) / 4)
    tracker.start("Timing reformats", "Timing tactics", 2)
    tracker.step("Timing reformats", 0)
    assert tracker.fraction == pytest.approx((1 + (1 + 1 / 2) / 10) / 4)
    tracker.finish("Timing reformats")
    tracker.step("Timing tactics", 4)
    assert tracker.fraction == pytest.approx((1 + 5 / 10) / 4)
    tracker.finish("Timing tactics")
    tracker.step("Building engine", 1)
    assert tracker.fraction == pytest.approx(2 / 4)
    tracker.finish("Building engine")
    assert tracker.fraction == 1


def test_it_never_goes_back_and_never_beyond_the_end_whatever_order_phases_end_in() -> None:
    tracker, _, _ = tracked()
    seen = []
    for call in (
        lambda: tracker.start("a", None, 2),
        lambda: tracker.start("b", "a", 0),  # no steps: counts as one
        lambda: tracker.step("b", 7),
        lambda: tracker.finish("a"),  # before what runs within it
        lambda: tracker.finish("b"),
        lambda: tracker.step("gone", 1),
        lambda: tracker.finish("gone"),
        lambda: tracker.start("c", None, 5),
        lambda: tracker.step("c", 0),
    ):
        call()
        seen.append(tracker.fraction)
    assert seen == sorted(seen)
    assert seen[-1] == 1


def test_reports_come_at_most_once_a_second_with_an_estimate_as_soon_as_there_is_ground_for_one() -> None:
    tracker, reports, clock = tracked()
    tracker.start("Timing tactics", None, 100)
    for step in range(40):
        clock.now += 0.5
        tracker.step("Timing tactics", step)
    assert len(reports) == 1 + 20
    assert (reports[0].fraction, reports[0].remaining_s) == (0, None)
    assert reports[-1] == BuildProgress("Timing tactics", 0.4, 20.0, pytest.approx(30.0))
    assert str(reports[-1]) == "building the TensorRT engine: 40%, Timing tactics, 20 s, about 30 s left"
    assert str(BuildProgress("Timing tactics", 0.001, 2.0, None)) == (
        "building the TensorRT engine: 0%, Timing tactics, 2 s"
    )
    assert str(BuildProgress("x", 0.1, 60.0, 540.0)).endswith("about 9 min left")


def test_phases_may_be_reported_from_several_threads_at_once() -> None:
    tracker, _, _ = tracked()
    tracker.start("Building engine", None, 8)

    def run(number: int) -> None:
        name = f"Timing {number}"
        tracker.start(name, "Building engine", 500)
        for step in range(500):
            tracker.step(name, step)
        tracker.finish(name)
        tracker.step("Building engine", number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tracker.fraction == 1
