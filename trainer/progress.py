"""How a long step tells where it is. The command line draws bars, the studio reads the run's events, tests stay
silent.
"""

from __future__ import annotations

import time
from typing import Protocol

from trainer.run import Run

EVENT_INTERVAL_S = 1.0


def duration(seconds: float) -> str:
    """A length of time as a person says it: 8 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


class Reporter(Protocol):
    """Hears of what happens; must not raise."""

    def say(self, text: str) -> None:
        """One line for a person."""

    def progress(self, stage: str, done: int, total: int) -> None:
        """`done` of `total` units of a stage; total may shrink when early stopping shortens the plan."""


class SilentReporter:
    def say(self, text: str) -> None:
        pass

    def progress(self, stage: str, done: int, total: int) -> None:
        pass


class RecordingReporter:
    """Passes everything on, and writes it to the run's events (progress at most once a second)."""

    def __init__(self, run: Run, inner: Reporter) -> None:
        self.run = run
        self.inner = inner
        self._written_s = 0.0

    def say(self, text: str) -> None:
        self.run.append_event("message", text=text)
        self.inner.say(text)

    def progress(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done >= total or now - self._written_s >= EVENT_INTERVAL_S:
            self._written_s = now
            self.run.append_event("progress", stage=stage, done=done, total=total)
        self.inner.progress(stage, done, total)
