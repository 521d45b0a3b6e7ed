"""Start a program in a session of its own, its output in a file; wait until it answers; stop it and its children."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.serving.accounting import PROC, process_tree

STOP_WITHIN_S = 20


class Launched:
    """A running program. Nothing of its session is left after `stop`."""

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str], cwd: Path, log: Path) -> None:
        self._log = log
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [str(part) for part in command], cwd=cwd, env=dict(environment), stdin=subprocess.DEVNULL,
                stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until(self, answers: Callable[[], bool], within_s: float) -> None:
        """Raises RuntimeError, with the end of its output, if it ends or does not answer in time."""
        deadline = time.monotonic() + within_s
        while True:
            try:
                if answers():
                    return
            except OSError:
                pass  # it does not listen yet
            if self._process.poll() is not None:
                raise RuntimeError(f"ended with exit code {self._process.returncode}: {self.last_words()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"no good answer within {within_s:g} s: {self.last_words()}")
            time.sleep(0.1)

    def last_words(self) -> str:
        """The last line of its output."""
        lines = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip()[-300:] if lines else "it said nothing"

    def stop(self, within_s: float = STOP_WITHIN_S) -> None:
        """SIGTERM to the root, as an operator would; whatever is left later is killed. Returns once all are gone."""
        members = process_tree(self.pid)
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(within_s)
            except subprocess.TimeoutExpired:
                members = process_tree(self.pid)
        left = [pid for pid in members if self._is_ours(pid)]
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        while any(self._is_ours(pid) for pid in left):  # the kernel takes a moment to end them
            time.sleep(0.01)

    def _is_ours(self, pid: int) -> bool:
        """Whether it runs, and is no stranger who got the number since."""
        try:
            return os.getsid(pid) == self.pid and (PROC / str(pid) / "exe").exists()  # a zombie has no program
        except ProcessLookupError:
            return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
