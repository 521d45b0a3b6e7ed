"""The process of a job: start it, or take over one that outlived its worker; watch it, stop it.

Whoever holds the lock file is the process (`studio.jobs.launch`), so two never work in one folder, and a worker that
was killed loses nothing: the next one goes on watching.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from studio.jobs.launch import BUSY_STATUS

_POLL_S = 0.1


class JobProcess:
    """A running process group. Its exit status is known to the worker that started it alone."""

    def __init__(self, lock_path: Path, child: subprocess.Popen[bytes] | None = None) -> None:
        self._lock_path, self._child = lock_path, child

    @classmethod
    def find(cls, lock_path: Path) -> Self | None:
        """The one that holds the lock; None where none does."""
        return cls(lock_path) if _is_held(lock_path) else None

    @classmethod
    def start(cls, lock_path: Path, command: Sequence[str], log_path: Path, environment: Mapping[str, str]) -> Self:
        with log_path.open("ab") as log:
            child = subprocess.Popen(  # noqa: S603 - our own command, without a shell
                [sys.executable, "-m", "studio.jobs.launch", str(lock_path), *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(environment), start_new_session=True,
            )  # fmt: skip
        return cls(lock_path, child)

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended, every process of it; looks for that for so long."""
        deadline = time.monotonic() + timeout_s
        while True:
            if self._child is None or self._child.poll() is not None:
                if not _is_held(self._lock_path):
                    return True
                self._end_what_is_left()
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(_POLL_S, left))

    def _end_what_is_left(self) -> None:
        """Processes whose leader is gone: nobody waits for what they do. While one lives, the group's id is theirs."""
        leader = self._child.pid if self._child is not None else _holder(self._lock_path)
        if leader is not None and not _is_alive(leader):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(leader, signal.SIGKILL)

    @property
    def status(self) -> int | None:
        """Of a process of our own that has ended: 0, above 0 where it failed, below 0 where a signal killed it."""
        status = None if self._child is None else self._child.poll()
        return None if status == BUSY_STATUS else status

    def send(self, number: signal.Signals) -> None:
        """To every process of the group; nothing where there is none."""
        group = self._child.pid if self._child is not None else _holder(self._lock_path)
        if group is not None:
            with suppress(ProcessLookupError):
                os.killpg(group, number)


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another's, who got the number since
        return False
    return True


def _is_held(lock_path: Path) -> bool:
    try:
        descriptor = os.open(lock_path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _holder(lock_path: Path) -> int | None:
    """The id that the holder wrote. It does so right after it took the lock."""
    for _ in range(50):
        if not _is_held(lock_path):
            return None
        text = lock_path.read_text()
        if text.isdigit():
            return int(text)
        time.sleep(_POLL_S)
    return None
