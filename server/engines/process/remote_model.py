"""One model on one engine process, as a web worker sees it: loading, asking, and starting over when that was lost.

For each engine process in turn a new arena, with slots of its own: an answer of an engine process that has ended has
nowhere to go but into memory that nobody reads.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bundle.manifest import Manifest
from server.engines.process.arena import Arena, ArenaShape
from server.engines.process.link import EngineLost, Link, Wire
from server.engines.process.slots import SlotPool
from server.engines.process.wire import MAX_REQUEST_SLOTS, Kind, Load, Status, Submit, pack_load, pack_submit
from server.engines.protocol import Scores
from server.errors import DeadlineExceeded, DeviceFailed, EngineError, GraphMismatch, ProviderMismatch, QueueFull

# How long a request waits for a free slot before the queue counts as full.
ROOM_WAIT_S = 0.05
# An engine process that ends this often while it first loads a model is not asked to load it again.
MAX_LOAD_LOSSES = 3

QUEUED = "queued"
_ERRORS: dict[str, type[EngineError]] = {
    each.code: each for each in (EngineError, ProviderMismatch, GraphMismatch, DeviceFailed)
}


class Package:
    """The file descriptor of the sealed manifest and graph. key: its SHA-256."""

    def __init__(self, manifest: Manifest, fd: int, key: bytes) -> None:
        self.manifest = manifest
        self.key = key
        self._fd = fd
        self._lock = threading.Lock()

    def use(self, call: Callable[[int], None]) -> None:
        with self._lock:
            if self._fd >= 0:
                call(self._fd)

    def replace(self, fd: int) -> None:
        """Let go of this copy for the one that everybody shares."""
        with self._lock:
            if self._fd >= 0:
                os.dup2(fd, self._fd, inheritable=False)
        os.close(fd)

    def close(self) -> None:
        with self._lock:
            fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class Phase(Enum):
    """Where a model stands on its link."""

    LOADING = auto()
    READY = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Standing:
    """phase, how far loading is, and why it failed."""

    phase: Phase
    progress: str = "waiting for the engine process"
    error: EngineError | None = None


@dataclass(frozen=True, slots=True)
class Runtime:
    """What runs a model, as its engine says: see Engine."""

    providers: tuple[str, ...]
    library: str
    device: str


class _Request:
    """Some images at the engine; one thread waits for them."""

    __slots__ = ("_answered", "_desk", "request_id", "status")

    def __init__(self, request_id: int, desk: Desk) -> None:
        self.request_id = request_id
        self.status = Status.LOST
        self._desk = desk
        self._answered = threading.Lock()
        self._answered.acquire()

    def answer(self, status: Status) -> None:
        """By the link's reading thread."""
        self.status = status
        if self._desk.answer(self.request_id):
            self._answered.release()

    def wait(self, until: float) -> bool:
        """Until the answer is there; False when nobody waits any longer."""
        left = until - time.monotonic()
        if left > 0 and self._answered.acquire(timeout=min(left, threading.TIMEOUT_MAX)):
            return True
        return not self._desk.abandon(self.request_id)


class Desk:
    """An arena and its slots, for one engine process. closed: that process has ended."""

    def __init__(self, wire: Wire, handle: int, shape: ArenaShape, arena_fd: int) -> None:
        self._wire = wire
        self._handle = handle
        self._arena = Arena(arena_fd, shape)
        self._pool = SlotPool(shape.slots)
        self._changed = threading.Condition(threading.Lock())
        self._queueing = 0  # threads that wait for a slot: mostly none, and telling nobody costs time too
        self._closed = False
        self.room = 1  # images in one request

    @property
    def in_flight(self) -> int:
        return self._arena.shape.slots - self._pool.free

    def submit(
        self, request_id: int, images: NDArray[np.uint8], deadline: float, until: float, alone: bool
    ) -> _Request:
        """Hand as many of the images to the engine as there is room for; `size_of` says how many.

        until: how long to wait for the first slot. Raises QueueFull, EngineLost.
        """
        wanted = min(len(images), self.room)
        with self._changed:
            while not (slots := self._pool.lend(request_id, wanted)):
                left = until - time.monotonic()
                if self._closed:
                    raise EngineLost
                self._queueing += 1
                try:
                    in_time = left > 0 and self._changed.wait(left)
                finally:
                    self._queueing -= 1
                if not in_time:
                    raise QueueFull("More images wait for the model than the server lets wait. Try again.")
        request = _Request(request_id, self)
        try:
            self._arena.fill(slots, images[: len(slots)], request_id)
            message = pack_submit(Submit(self._handle, request_id, deadline, alone, slots))
            self._wire.ask(request_id, request, message)
        except BaseException:
            self._free(self._pool.take_back, request_id)
            raise
        return request

    def size_of(self, request: _Request) -> int:
        return len(self._pool.slots_of(request.request_id))

    def read(self, request: _Request, out: Scores) -> None:
        """Scores of an answered request, into out. Raises by its status."""
        try:
            if request.status is Status.LOST:
                raise EngineLost
            if request.status is Status.EXPIRED:
                raise expired()
            if request.status is Status.FAILED:
                raise EngineError("The model failed on this image; the engine process' log says why.")
            if not self._arena.read(self._pool.slots_of(request.request_id), request.request_id, out):
                raise EngineError("The engine process answered another request in this one's place.")
        finally:
            self._free(self._pool.release, request.request_id)

    def answer(self, request_id: int) -> bool:
        with self._changed:
            awaited = self._pool.answer(request_id)
            if not awaited and self._queueing:
                self._changed.notify()
            return awaited

    def abandon(self, request_id: int) -> bool:
        with self._changed:
            return self._pool.abandon(request_id)

    def give_up(self, request: _Request) -> None:
        """Nobody will read its answer."""
        if not self.abandon(request.request_id):
            self._free(self._pool.release, request.request_id)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _free(self, how: Callable[[int], None], request_id: int) -> None:
        with self._changed:
            how(request_id)
            if self._queueing:
                self._changed.notify()


class RemoteModel:
    """A tenant of a link. changed: notified whenever its standing changes."""

    def __init__(self, link: Link, package: Package, slots: int, changed: threading.Condition) -> None:
        self.handle = 0
        self.link = link
        self.standing = Standing(Phase.LOADING)
        self.runtime: Runtime | None = None  # that has loaded it last
        self._package = package
        self._slots = slots
        self._changed = changed
        self._desk: Desk | None = None  # of the process that loads or has loaded it
        self._proven = False
        self._losses = 0
        link.join(self)

    @property
    def pending(self) -> int:
        """Images that wait or run on the device, whoever sent them, or at least this worker's."""
        desk = self._desk
        return max(self.link.pulse.pending, desk.in_flight if desk else 0)

    def infer(self, images: NDArray[np.uint8], deadline: float, alone: bool) -> Scores:
        """Raises EngineLost, QueueFull, DeadlineExceeded, EngineError."""
        desk = self._desk
        if desk is None or self.standing.phase is not Phase.READY:
            raise EngineLost
        count, labels = len(images), len(self._package.manifest.labels)
        out = np.empty((count, labels), np.float32), np.empty((count, labels), np.float32)
        flying: deque[tuple[_Request, int, int]] = deque()
        sent = 0
        try:
            while sent < count or flying:
                if sent < count:
                    # The first slot is waited for briefly; later ones as long as need be, since others give them back.
                    until = 0.0 if flying else deadline if sent else min(deadline, time.monotonic() + ROOM_WAIT_S)
                    try:
                        request = desk.submit(next(self.link.request_ids), images[sent:], deadline, until, alone)
                    except QueueFull:
                        if not flying:
                            raise
                    else:
                        flying.append((request, sent, sent + desk.size_of(request)))
                        sent = flying[-1][2]
                        continue
                request, begin, end = flying[0]
                if not request.wait(deadline):
                    flying.popleft()
                    raise expired()
                flying.popleft()
                desk.read(request, (out[0][begin:end], out[1][begin:end]))
        except BaseException:
            for request, _, _ in flying:
                desk.give_up(request)
            raise
        return out

    def close(self) -> None:
        """No `infer` runs, and none will."""
        self.link.leave(self)

    # ---- called by the link

    def on_connected(self, wire: Wire) -> None:
        if self.standing.phase is Phase.FAILED and not self._proven:
            return
        spec = self._package.manifest.preprocessing
        shape = ArenaShape(self._slots, spec.height, spec.width, len(self._package.manifest.labels))
        arena = Arena.create(shape)
        try:
            self._desk = Desk(wire, self.handle, shape, arena)
            load = pack_load(Load(self.handle, self._package.key, self._slots))
            self._package.use(lambda package: wire.tell(load, (arena, package)))
        finally:
            os.close(arena)
        self._stand(Standing(Phase.LOADING, progress=QUEUED))

    def on_text(self, kind: Kind, document: dict[str, Any], package: int | None) -> None:
        if package is not None:
            self._package.replace(package)
        if kind is Kind.PROGRESS:
            self._stand(Standing(Phase.LOADING, progress=str(document.get("text", ""))))
        elif "code" in document:
            error = _ERRORS.get(document["code"], EngineError)(str(document["reason"]))
            self._stand(Standing(Phase.FAILED, progress="failed", error=error))
        elif self._desk is not None:
            self._proven = True
            self._desk.room = min(int(document["room"]), MAX_REQUEST_SLOTS)
            self.runtime = Runtime(tuple(document["providers"]), str(document["library"]), str(document["device"]))
            self._stand(Standing(Phase.READY, "ready"))

    def on_lost(self) -> None:
        desk = self._desk
        standing = Standing(Phase.LOADING, progress="the engine process is being started again")
        if desk is not None:
            self._losses += not self._proven and self.standing.progress != QUEUED
            if self._losses >= MAX_LOAD_LOSSES and not self._proven:
                error = EngineError(
                    "graph: the engine process ended each time it loaded it. Export the bundle again, or see the log."
                )
                standing = Standing(Phase.FAILED, progress="failed", error=error)
        self._stand(standing)  # first: who loses the desk tries again at once, and must not find the model ready still
        self._desk = None
        if desk is not None:
            desk.close()

    def _stand(self, standing: Standing) -> None:
        with self._changed:
            self.standing = standing
            self._changed.notify_all()


def expired() -> DeadlineExceeded:
    return DeadlineExceeded("The model did not answer in the time that the request had. Try again.")


def moment_of(deadline: float | None, longest_s: float) -> float:
    """A moment after which nobody waits, also where the caller named none."""
    return min(deadline if deadline is not None else math.inf, time.monotonic() + longest_s)
