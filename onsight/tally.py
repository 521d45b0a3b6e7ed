"""Counts answers as they pass, and lets them end early with what there is: by Ctrl-C, or when a server goes away."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from types import FrameType

from bundle.errors import OnsightError
from onsight.labelling import Answer

LABELS_NAMED = 12


class Tally:
    """images: answers so far, of `expected`.  failed: those with an error.  error: what ended them early.

    give_up: called after a second Ctrl-C, in a thread of its own: makes the answers under way fail soon, as
    `Client.close` does.
    """

    def __init__(self, expected: int, give_up: Callable[[], None] = lambda: None) -> None:
        self.expected = expected
        self._give_up = give_up
        self.images = 0
        self.failed = 0
        self.counts: Counter[str] = Counter()
        self.interrupted = False
        self.error: OnsightError | None = None
        self._asked_to_stop = self._given_up = False

    @contextmanager
    def ended_by_interrupt(self) -> Iterator[None]:
        """Within the block Ctrl-C and SIGTERM end the answers after the next one, wherever they strike; a second Ctrl-C
        ends those under way too.

        Neither raises where it strikes: an exception between taking a lock and the block that gives it back leaves it
        taken, and the threads that want it waiting for ever. Nor does a handler take a lock, which the main thread may
        hold right then: it tells a thread to give up. Only a third one raises, where all else failed.
        """
        presses: SimpleQueue[bool] = SimpleQueue()  # the one queue that a signal handler may put into

        def wait_to_give_up() -> None:
            if presses.get():
                self._give_up()

        def ask(_number: int, _frame: FrameType | None) -> None:
            self._asked_to_stop = True
            signal.signal(signal.SIGINT, give_up)
            os.write(2, b"\nStopping after the images under way. Ctrl-C again ends at once.\n")

        def give_up(_number: int, _frame: FrameType | None) -> None:
            self._given_up = True
            signal.signal(signal.SIGINT, signal.default_int_handler)
            presses.put(True)

        waiting = threading.Thread(target=wait_to_give_up, name="give-up", daemon=True)
        waiting.start()
        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            presses.put(False)
            waiting.join()

    def watch(self, answers: Iterable[Answer]) -> Iterator[Answer]:
        """Pass the answers on; one that cannot be had ends them, and raises only where it is the first."""
        try:
            for answer in answers:
                self._count(answer)
                yield answer
                if self._asked_to_stop:
                    self.interrupted = True
                    return
        except KeyboardInterrupt:
            if not self.images:
                raise
            self.interrupted = True
        except OnsightError as error:
            if self._given_up:
                if not self.images:
                    raise KeyboardInterrupt from error
                self.interrupted = True
                return
            if not self.images:
                raise
            self.error = error

    def _count(self, answer: Answer) -> None:
        self.images += 1
        if answer.error is not None:
            self.failed += 1
        elif answer.labels:
            self.counts.update(answer.labels)
        else:
            self.counts["(unknown)" if answer.unknown else "(no label)"] += 1

    def summary(self) -> str:
        """One line a fact: how many of each label, how many could not be read, how many were not reached."""
        found = ", ".join(f"{label} {count:,}" for label, count in self.counts.most_common(LABELS_NAMED))
        more = len(self.counts) - LABELS_NAMED
        named = f": {found}{f' and {more:,} more labels' if more > 0 else ''}" if found else ""
        lines = [f"{self.images - self.failed:,} of {self.expected:,} images labelled{named}"]
        if self.failed:
            lines.append(f"{self.failed:,} could not be read; the error of each stands with it")
        if self.images < self.expected:
            lines.append(f"Stopped: {self.expected - self.images:,} images were not looked at")
        return "\n".join(lines)
