"""How far a build is, from the phases that TensorRT reports, and about how long it still takes.

Phases nest; a phase is as far as its own steps and what runs within them. TensorRT calls from its own threads, ends
phases in any order and sometimes before their last step, so the fraction may jump ahead, and never goes back.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

log = logging.getLogger("onsight.server")

MIN_REPORT_S = 1.0
ESTIMATE_FROM = 0.02  # of the whole; before that any estimate is a guess


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """phase: TensorRT's words.  fraction: 0 to 1.  remaining_s: rough, None while nothing can be said."""

    phase: str
    fraction: float
    elapsed_s: float
    remaining_s: float | None

    def __str__(self) -> str:
        left = "" if self.remaining_s is None else f", about {_duration(self.remaining_s)} left"
        return f"building the TensorRT engine: {self.fraction:.0%}, {self.phase}, {_duration(self.elapsed_s)}{left}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


@dataclass(slots=True)
class _Phase:
    name: str
    parent: str | None
    steps: int
    done: int = 0
    children: dict[str, _Phase] = field(default_factory=dict)

    def fraction(self) -> float:
        within = max((child.fraction() for child in self.children.values()), default=0.0)
        return min(1.0, (self.done + within) / self.steps)


class BuildTracker:
    """Takes TensorRT's reports and gives ours, at most one in MIN_REPORT_S. clock: seconds that only grow."""

    def __init__(self, report: Callable[[BuildProgress], None], clock: Callable[[], float]) -> None:
        self._report = report
        self._clock = clock
        self._began = clock()
        self._reported = -MIN_REPORT_S
        self._phases: dict[str, _Phase] = {}
        self._lock = threading.Lock()
        self.fraction = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        with self._lock:
            phase = self._phases[name] = _Phase(name, parent, max(1, steps))
            if parent in self._phases:
                self._phases[parent].children[name] = phase
            self._moved(name)

    def step(self, name: str, step: int) -> None:
        """step: counts from 0, and is done."""
        with self._lock:
            phase = self._phases.get(name)
            if phase is not None:
                phase.done = max(phase.done, step + 1)
                phase.children.clear()  # what ran within the step is counted by it now
                self._moved(name)

    def finish(self, name: str) -> None:
        with self._lock:
            phase = self._phases.get(name)
            if phase is not None:
                phase.done = phase.steps
                self._moved(name)
                del self._phases[name]
                if phase.parent in self._phases:
                    self._phases[phase.parent].children.pop(name, None)

    def _moved(self, name: str) -> None:
        whole = [phase for phase in self._phases.values() if phase.parent is None]
        self.fraction = max([self.fraction, *(phase.fraction() for phase in whole)])
        now = self._clock()
        if now - self._began - self._reported < MIN_REPORT_S:
            return
        self._reported = elapsed = now - self._began
        remaining = elapsed * (1 - self.fraction) / self.fraction if self.fraction >= ESTIMATE_FROM else None
        self._report(BuildProgress(name, self.fraction, elapsed, remaining))


def make_monitor(trt: Any, tracker: BuildTracker) -> Any:
    """TensorRT's own kind of object, which passes on what it hears. It must outlive the build."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            _quietly(lambda: tracker.start(phase_name, parent_phase, num_steps))

        def step_complete(self, phase_name: str, step: int) -> bool:
            _quietly(lambda: tracker.step(phase_name, step))
            return True  # False would end the build

        def phase_finish(self, phase_name: str) -> None:
            _quietly(lambda: tracker.finish(phase_name))

    return Monitor()


def _quietly(call: Callable[[], None]) -> None:
    try:
        call()
    except Exception:  # an exception would pass through TensorRT's own code, and end the process
        log.exception("progress of the build not reported")
