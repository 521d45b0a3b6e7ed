"""Keep one engine process running: start it, start it again when it ends, end it when it hangs.

`tend` is called by the parent's one thread, again and again and after every SIGCHLD; it never waits. A process that has
answered something is started again at once. One that ends before it has answered anything is started again after a
pause that doubles, so a machine that cannot run it is not kept busy with trying.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from server.engines.process.options import HostOptions
from server.engines.process.pulse import EngineState, Pulse

log = logging.getLogger("onsight.server")

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
LONG_PAUSE_S = 1.0  # from here on callers are told at once; before, they wait with the process
FREE_FAILURES = 2  # so many in a row are taken for bad luck
# Building a session or an engine may hold everything else up for long, and that is no hang.
LOADING_ALLOWANCE_S = 600.0
START_ALLOWANCE_S = 60.0


@dataclass(frozen=True, slots=True)
class BackOff:
    """failures: ends in a row without an answer between."""

    failures: int = 0

    def after(self, *, answered: bool) -> BackOff:
        return BackOff(1 if answered else self.failures + 1)

    @property
    def pause_s(self) -> float:
        over = self.failures - FREE_FAILURES
        return min(FIRST_PAUSE_S * 2.0 ** (over - 1), LONGEST_PAUSE_S) if over > 0 else 0.0


def is_stuck(stuck_s: float, loading: bool, timeout_s: float) -> bool:
    """Whether a process without progress for so long is given up."""
    return stuck_s > (max(timeout_s, LOADING_ALLOWANCE_S) if loading else timeout_s)


class EngineSupervisor:
    """options: for the process; its parent is filled in.  timeout_s: without progress, after which it is ended."""

    def __init__(self, options: HostOptions, pulse: Pulse, timeout_s: float, environ: Mapping[str, str]) -> None:
        self._options = options
        self._pulse = pulse
        self._timeout_s = timeout_s
        self._environ = dict(environ)
        self._pidfd = -1
        self._pid = 0
        self._restarts = 0
        self._back_off = BackOff()
        self._started_at = self._start_at = 0.0
        self._killed = False

    @property
    def pid(self) -> int:
        return self._pid

    def start(self) -> None:
        self._pulse.reset()
        self._started_at = time.monotonic()
        options = replace(self._options, parent=os.getpid())
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-m", "server.engines.process.host", options.to_json()],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno() if _has_descriptor(sys.stderr) else subprocess.DEVNULL,
            pass_fds=(options.door, options.pulse),
            env=self._environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},  # noqa: PTH109
        )
        process.returncode = 0  # it is watched through the pidfd; the object itself is of no more use
        try:
            self._pid, self._pidfd = process.pid, os.pidfd_open(process.pid)
        except OSError:
            os.kill(process.pid, signal.SIGKILL)
            raise
        self._killed = False
        self._pulse.supervise(EngineState.STARTING, self._pid, self._restarts)

    def tend(self) -> None:
        """Look after it; never waits."""
        now = time.monotonic()
        if self._pidfd >= 0:
            if self._has_ended():
                self._reap(now)
            elif not self._killed:
                self._watch(now)
        if self._pidfd < 0 and now >= self._start_at:
            self._restarts += 1
            try:
                self.start()
            except OSError as error:  # no memory or no process to be had: that must not end the server
                self._put_off(now, "engine process not started", reason=error.strerror)

    def _watch(self, now: float) -> None:
        if not self._pulse.beats:
            stuck = now - self._started_at > START_ALLOWANCE_S
        else:
            stuck = is_stuck(*self._pulse.stuck_for(now), self._timeout_s)
        if stuck:
            log.error("engine process hangs", extra={"device": self._options.device, "engine": self._pid})
            self._send(signal.SIGKILL)
            self._killed = True

    def stop(self, wait_s: float) -> None:
        """End it: it gets this long to do so by itself."""
        if self._pidfd < 0:
            return
        self._send(signal.SIGTERM)
        if not self._has_ended(wait_s):
            self._send(signal.SIGKILL)
            self._has_ended(wait_s)
        self._forget()
        self._pulse.supervise(EngineState.STOPPED, 0, self._restarts)

    def _reap(self, now: float) -> None:
        self._put_off(now, "engine process ended", engine=self._pid)
        self._forget()

    def _put_off(self, now: float, event: str, **facts: object) -> None:
        """Start it again, now or after a pause."""
        self._back_off = self._back_off.after(answered=self._pulse.batches > 0)
        pause_s = self._back_off.pause_s
        log.error(event, extra={"device": self._options.device, **facts, "starts_again_in_s": pause_s})
        self._start_at = now + pause_s
        state = EngineState.BACKING_OFF if pause_s >= LONG_PAUSE_S else EngineState.RESTARTING
        self._pulse.supervise(state, 0, self._restarts)

    def _has_ended(self, wait_s: float = 0.0) -> bool:
        watch = select.poll()
        watch.register(self._pidfd, select.POLLIN)
        return bool(watch.poll(wait_s * 1000))

    def _send(self, which: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, which)

    def _forget(self) -> None:
        with contextlib.suppress(ChildProcessError):  # Gunicorn's parent reaps whatever child has ended
            os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        os.close(self._pidfd)
        self._pidfd, self._pid = -1, 0


def _has_descriptor(stream: object) -> bool:
    try:
        return stream.fileno() >= 0  # type: ignore[attr-defined,no-any-return]
    except (AttributeError, OSError, ValueError):
        return False
