"""What an engine process holds: connections of web workers, models, and requests on their way through."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from bundle.manifest import Manifest
from server.engines.process.arena import Arena, ArenaShape
from server.engines.process.staging import Staging
from server.engines.process.wire import MAX_ENTRIES, Status, pack_done
from server.engines.protocol import Engine


class Connection:
    """One web worker. Any thread may send; the main thread alone receives and closes."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.closed = False
        self.seats: dict[int, Seat] = {}
        self._lock = threading.Lock()

    def send(self, message: bytes, fds: Sequence[int] = ()) -> None:
        """Never waits: a worker that left hundreds of answers unread is stopped or dead, and loses its connection."""
        with self._lock:
            if self.closed:
                return
            try:
                if fds:
                    socket.send_fds(self.socket, [message], list(fds), socket.MSG_DONTWAIT)
                else:
                    self.socket.send(message, socket.MSG_DONTWAIT)
            except OSError:
                with contextlib.suppress(OSError):
                    self.socket.shutdown(socket.SHUT_RDWR)  # the main thread sees the end, and closes

    def send_done(self, entries: Sequence[tuple[int, Status]]) -> None:
        for at in range(0, len(entries), MAX_ENTRIES):
            self.send(pack_done(entries[at : at + MAX_ENTRIES]))

    def close(self) -> None:
        with self._lock:
            self.closed = True
            self.socket.close()


@dataclass(eq=False, slots=True)
class HostedModel:
    """A model in this process. engine: None while it loads.  idle: the stagings that hold no batch now.

    retired: nobody uses it any more; it is closed when all its stagings are idle.
    """

    key: bytes
    manifest: Manifest
    package: int
    engine: Engine | None = None
    room: int = 1
    stagings: int = 0
    idle: list[Staging] = field(default_factory=list)
    seats: set[Seat] = field(default_factory=set)
    retired: bool = False

    def arena_shape(self, slots: int) -> ArenaShape:
        spec = self.manifest.preprocessing
        return ArenaShape(slots, spec.height, spec.width, len(self.manifest.labels))

    def close(self) -> None:
        self.idle.clear()
        if self.engine is not None:
            self.engine.close()
            self.engine = None
        os.close(self.package)


@dataclass(eq=False, slots=True)
class Seat:
    """A web worker's use of a model: the arena that the two share."""

    connection: Connection
    handle: int
    model: HostedModel
    arena: Arena


@dataclass(eq=False, slots=True)
class Request:
    """Some images of one web worker, in slots that are the engine's until it answers."""

    seat: Seat
    request_id: int
    slots: tuple[int, ...]
    deadline: float
    alone: bool

    @property
    def size(self) -> int:
        return len(self.slots)

    def end(self, status: Status) -> None:
        self.seat.connection.send_done([(self.request_id, status)])
