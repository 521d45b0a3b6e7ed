"""One page a device that the parent, its engine process and all web workers see: is it alive, and how busy?

Every number has one writer and is a whole 8 bytes, so no reader sees half of one; a number that is a moment old does no
harm. Nothing that decides about an answer is here.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

MAX_LANES: Final = 4
_SIZE: Final = 4096


class EngineState(IntEnum):
    """What the supervisor says of an engine process."""

    STOPPED = 0
    STARTING = 1
    RUNNING = 2
    RESTARTING = 3  # it ended, and is started again at once
    BACKING_OFF = 4  # it ended repeatedly without having answered anything; the next start waits a little


_STATE, _PID, _RESTARTS, _BEAT, _LOADING, _PENDING, _MODELS, _BATCHES, _IMAGES, _BUSY = range(10)


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """One engine process. restarts: since the server began.  pending: images that wait or run.

    batches, images: answered since the process began.  models, loading: how many it holds and is loading now.
    """

    device: int
    state: EngineState
    pid: int
    restarts: int
    pending: int
    models: int
    loading: int
    batches: int
    images: int


class Pulse:
    """The page. Times are seconds of `time.monotonic`, which is one clock for all processes."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._fields = memoryview(mmap.mmap(fd, _SIZE)).cast("d")

    @classmethod
    def create(cls) -> Pulse:
        fd = os.memfd_create("onsight-pulse", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, _SIZE)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        return cls(fd)

    def status(self, device: int) -> EngineStatus:
        fields = self._fields
        return EngineStatus(
            device, self.state, int(fields[_PID]), int(fields[_RESTARTS]), int(fields[_PENDING]),
            int(fields[_MODELS]), int(fields[_LOADING]), int(fields[_BATCHES]), int(fields[_IMAGES]),
        )  # fmt: skip

    @property
    def state(self) -> EngineState:
        state = EngineState(int(self._fields[_STATE]))
        return EngineState.RUNNING if state is EngineState.STARTING and self.beats else state

    @property
    def pending(self) -> int:
        return int(self._fields[_PENDING])

    @property
    def batches(self) -> int:
        return int(self._fields[_BATCHES])

    # ---- written by the supervisor

    def supervise(self, state: EngineState, pid: int, restarts: int) -> None:
        self._fields[_PID], self._fields[_RESTARTS], self._fields[_STATE] = pid, restarts, state

    def reset(self) -> None:
        """Before a process starts: it has shown no sign of life."""
        for field in range(_BEAT, _BUSY + MAX_LANES):
            self._fields[field] = 0.0

    @property
    def beats(self) -> bool:
        """Whether the process has begun its work."""
        return self._fields[_BEAT] > 0

    def stuck_for(self, now: float) -> tuple[float, bool]:
        """Seconds that the engine process has made no progress, and whether it loads a model meanwhile."""
        busy = [since for since in self._fields[_BUSY : _BUSY + MAX_LANES] if since]
        return now - min([self._fields[_BEAT], *busy]), self._fields[_LOADING] > 0

    # ---- written by the engine process

    def beat(self, now: float, pending: int) -> None:
        self._fields[_BEAT], self._fields[_PENDING] = now, pending

    def pend(self, pending: int) -> None:
        self._fields[_PENDING] = pending

    def busy(self, lane: int, since: float) -> None:
        """since: when the batch began; 0 for none."""
        self._fields[_BUSY + lane] = since

    def count(self, batches: int, images: int) -> None:
        self._fields[_BATCHES], self._fields[_IMAGES] = batches, images

    def holds(self, models: int, loading: int) -> None:
        self._fields[_MODELS], self._fields[_LOADING] = models, loading
