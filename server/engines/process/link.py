"""A web worker's connection to one engine process, and to the next one when that has ended.

One thread reads: it wakes whoever waits for an answer, and at the end of the engine process everybody, then knocks at
the door for the next process, which finds the knock there when it comes. The threads that answer clients send. What
belongs to one engine process (arenas, requests) is never used with another.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import socket
import threading
from collections.abc import Sequence
from typing import Any, Protocol

from server.engines.process.pulse import Pulse
from server.engines.process.wire import KNOCK, Kind, Status, WireError, pack_unload, receive, unpack_done, unpack_text
from server.errors import QueueFull

log = logging.getLogger("onsight.server")

KNOCK_AGAIN_S = 0.2
CLOSE_S = 1.0
_STATUSES = dict(enumerate(Status))


class EngineLost(Exception):
    """The engine process that had the request has ended, or there is none at this moment."""


class Waiter(Protocol):
    """Who waits for a request's answer."""

    def answer(self, status: Status) -> None: ...


class Tenant(Protocol):
    """A model on the link. All of these are called by the link's reading thread."""

    handle: int

    def on_connected(self, wire: Wire) -> None: ...
    def on_text(self, kind: Kind, document: dict[str, Any], package: int | None) -> None: ...
    def on_lost(self) -> None: ...


class Wire:
    """One connection to one engine process."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._lock = threading.Lock()
        self._waiters: dict[int, Waiter] = {}
        self._over = False

    def ask(self, request_id: int, waiter: Waiter, message: bytes) -> None:
        """Send a request. Raises EngineLost, QueueFull."""
        with self._lock:
            if self._over:
                raise EngineLost
            self._waiters[request_id] = waiter
            try:
                self._socket.send(message, socket.MSG_DONTWAIT)
            except BlockingIOError:
                del self._waiters[request_id]
                raise QueueFull("The engine process takes no more requests at this moment. Try again.") from None
            except OSError:
                del self._waiters[request_id]
                raise EngineLost from None

    def tell(self, message: bytes, fds: Sequence[int] = ()) -> None:
        """Send anything else. Does nothing where the engine process has ended."""
        with self._lock, contextlib.suppress(OSError):
            if self._over:
                return
            try:
                socket.send_fds(self._socket, [message], list(fds), socket.MSG_DONTWAIT)
            except BlockingIOError:  # it does not read: a fresh connection will say all of this again
                self._socket.shutdown(socket.SHUT_RDWR)

    def done(self, message: bytes) -> None:
        for request_id, status in unpack_done(message):
            waiter = self._waiters.pop(request_id, None)
            if waiter is None:
                raise WireError(f"an answer to request {request_id}, which was not asked")
            waiter.answer(_STATUSES[status])

    def receive(self) -> tuple[bytes, list[int]]:
        return receive(self._socket)

    def hang_up(self) -> None:
        """Make the reading thread see the end."""
        with self._lock, contextlib.suppress(OSError):
            if not self._over:
                self._socket.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Nobody sends any more; everybody who waits learns it."""
        with self._lock:
            self._over = True
            self._socket.close()
            waiters, self._waiters = self._waiters, {}
        for waiter in waiters.values():
            waiter.answer(Status.LOST)


class Link:
    """door: where to knock, a non-blocking socket. Made in a web worker, after the fork."""

    def __init__(self, device: int, door: socket.socket, pulse: Pulse) -> None:
        self.device = device
        self.pulse = pulse
        self.request_ids = itertools.count(1)
        self._door = door
        self._lock = threading.Lock()
        self._handles = itertools.count(1)
        self._tenants: dict[int, Tenant] = {}
        self._wire: Wire | None = None
        self._welcome = False  # whether an engine process has taken the wire
        self._closed = threading.Event()
        self._reader = threading.Thread(target=self._read, name=f"engine-{device}", daemon=True)
        self._reader.start()

    def join(self, tenant: Tenant) -> None:
        """From now on the tenant hears of this link."""
        with self._lock:
            tenant.handle = next(self._handles)
            self._tenants[tenant.handle] = tenant
            if self._wire is not None and self._welcome:
                tenant.on_connected(self._wire)

    def leave(self, tenant: Tenant) -> None:
        with self._lock:
            self._tenants.pop(tenant.handle, None)
            if self._wire is not None and self._welcome:
                self._wire.tell(pack_unload(tenant.handle))

    def close(self) -> None:
        self._closed.set()
        with self._lock:
            if self._wire is not None:
                self._wire.hang_up()
        self._reader.join(CLOSE_S)

    def _read(self) -> None:
        while not self._closed.is_set():
            try:
                wire = self._knock()
            except OSError:  # the door is full of knocks, or there are no descriptors left
                self._closed.wait(KNOCK_AGAIN_S)
                continue
            with self._lock:
                self._wire, self._welcome = wire, False
                if self._closed.is_set():
                    wire.hang_up()
            try:
                self._serve(wire)
            except (WireError, LookupError, ValueError, OSError) as error:
                if not isinstance(error, ConnectionError):
                    log.error("an engine process' message makes no sense", extra={"reason": str(error)})
            with self._lock:
                self._wire, self._welcome = None, False
                tenants = list(self._tenants.values())
            for tenant in tenants:
                tenant.on_lost()
            wire.end()

    def _knock(self) -> Wire:
        """Leave one end of a new connection at the door; the engine process takes it when it is there."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                socket.send_fds(self._door, [KNOCK], [theirs.fileno()])
        except BaseException:
            ours.close()
            raise
        return Wire(ours)

    def _serve(self, wire: Wire) -> None:
        while True:
            message, fds = wire.receive()
            if not message:
                return
            kind = message[0]
            if kind == Kind.DONE:
                wire.done(message)
            elif kind in (Kind.LOADED, Kind.PROGRESS):
                handle, document = unpack_text(message)
                with self._lock:
                    tenant = self._tenants.get(handle)
                if tenant is not None:
                    tenant.on_text(Kind(kind), document, fds.pop() if fds else None)
            elif kind == Kind.WELCOME:
                with self._lock:
                    self._welcome = True
                    for tenant in self._tenants.values():
                        tenant.on_connected(wire)
            for fd in fds:
                os.close(fd)
