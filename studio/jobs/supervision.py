"""Keep the workers of one studio running: `python -m studio.jobs.supervision WORKERS`, started by `onsight studio`.

It starts the workers, one more for short jobs alone, and each again when it ends; later and later where it ends at
once. Its standard input closes when the studio has ended, however it ended; then it closes its workers', which put
their jobs back into the queue and end. Killed, it takes them along in the same way.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from server.logs import configure_logging
from studio.settings import StudioSettings

log = logging.getLogger("onsight.studio.jobs")

_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 60.0
_STEADY_S: Final = 60.0  # a worker that lived so long is started again at once
_POLL_S: Final = 0.5
_ENDS_WITHIN_S: Final = 75.0  # a training is asked to save what it has


@dataclass
class Kept:
    """One worker's place. options: of `onsight studio worker`."""

    options: tuple[str, ...]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    wait_s: float = _FIRST_WAIT_S
    starts_at: float = field(default=0.0)

    def look(self, now: float) -> None:
        """Start it where it is not, and it is time to."""
        if self.process is not None and self.process.poll() is not None:
            log.warning("worker ended", extra={"status": self.process.returncode, "options": " ".join(self.options)})
            self._wait(now, was_steady=now - self.started_at > _STEADY_S)
        if self.process is None and now >= self.starts_at:
            command = [sys.executable, "-m", "onsight.cli", "studio", "worker", "--attached", *self.options]
            # In a session of its own: a Ctrl-C in the studio's terminal is the studio's alone.
            try:
                self.process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603
            except OSError:  # memory or processes are short; ending here would end the other workers as well
                log.exception("worker not started")
                self._wait(now, was_steady=False)
            self.started_at = now

    def _wait(self, now: float, *, was_steady: bool) -> None:
        self.wait_s = _FIRST_WAIT_S if was_steady else min(self.wait_s * 2, _LONGEST_WAIT_S)
        self.starts_at, self.process = now + self.wait_s, None

    def end(self) -> None:
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()


def start_supervision(settings: StudioSettings, environment: Mapping[str, str]) -> subprocess.Popen[bytes] | None:
    """For the studio's own process, which keeps what is returned until its end. None where no worker is wanted."""
    if settings.job_workers == 0:
        return None
    command = [sys.executable, "-m", "studio.jobs.supervision", str(settings.job_workers)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, env=dict(environment))  # noqa: S603 - our own command


def supervise(workers: int) -> None:
    """Until standard input closes."""
    ending: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):  # of a service manager, which sends them to all of us
        signal.signal(number, lambda given, _: ending.append(given))
    kept = [*(Kept(()) for _ in range(workers)), Kept(("--short",))]
    while not _is_closed(_POLL_S):
        for each in kept:
            if not ending:
                each.look(time.monotonic())
    for each in kept:
        each.end()
    deadline = time.monotonic() + _ENDS_WITHIN_S
    for process in [each.process for each in kept if each.process is not None]:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()


def _is_closed(timeout_s: float) -> bool:
    readable, _, _ = select.select([sys.stdin.fileno()], [], [], timeout_s)
    return bool(readable) and os.read(sys.stdin.fileno(), 1) == b""


if __name__ == "__main__":
    settings = StudioSettings()
    configure_logging(settings.log_format, settings.log_level)
    supervise(int(sys.argv[1]))
