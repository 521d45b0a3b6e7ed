"""An engine process: runs the models of one device for all web workers. Started by the parent, never by hand.

The main thread talks to the workers and gathers batches; lanes run them; one more thread loads and closes models. It
ends with its parent, whatever happens to that. SIGINT is for others; SIGTERM ends it as soon as no worker is connected.
It opens no file but those of its runtime and of the engine cache, and no address.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import queue
import select
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable

from bundle.errors import OnsightError
from server.engines.process.arena import Arena
from server.engines.process.gatherer import Gatherer, Lane
from server.engines.process.hosted import Connection, HostedModel, Request, Seat
from server.engines.process.options import HostOptions
from server.engines.process.package import read_graph, read_manifest
from server.engines.process.pulse import Pulse
from server.engines.process.staging import new_staging
from server.engines.process.wire import (
    WELCOME,
    Kind,
    WireError,
    pack_text,
    receive,
    unpack_load,
    unpack_submit,
    unpack_unload,
)
from server.engines.providers import CPU
from server.errors import EngineError
from server.logs import configure_logging

log = logging.getLogger("onsight.server")

BEAT_S = 0.25
MAX_MESSAGES_A_TURN = 64
_PR_SET_PDEATHSIG = 1


class Host:
    """See the module."""

    def __init__(self, options: HostOptions) -> None:
        self._options = options
        self._pulse = Pulse(options.pulse)
        self._door = socket.socket(fileno=options.door)
        self._door.setblocking(False)
        self._build = options.hosted_factory()
        self._epoll = select.epoll()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._connections: dict[int, Connection] = {}
        self._models: dict[bytes, HostedModel] = {}
        self._loading = 0
        self._batches = self._images = 0
        self._counting = threading.Lock()
        self._stopping = False
        self._soon: deque[Callable[[], None]] = deque()
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._gatherer = Gatherer(self._wake, lambda model: self._jobs.put(model.close))

    def run(self) -> None:
        """Until SIGTERM."""
        signal.signal(signal.SIGTERM, self._on_term)
        for fd in (self._door.fileno(), self._wake_fd):
            self._epoll.register(fd, select.EPOLLIN)
        threading.Thread(target=self._do_jobs, name="loader", daemon=True).start()
        lanes = [Lane(number, self._gatherer, self._pulse, self._count) for number in range(self._options.lanes)]
        for lane in lanes:
            lane.start()
        next_beat = 0.0
        while not self._is_over():
            now = time.monotonic()
            if now >= next_beat:
                next_beat = now + BEAT_S
            self._pulse.beat(now, self._gatherer.pending)
            self._gatherer.ring()
            for fd, _ in self._epoll.poll(next_beat - now):
                if fd == self._wake_fd:
                    os.eventfd_read(self._wake_fd)
                elif fd == self._door.fileno():
                    self._welcome()
                elif fd in self._connections:
                    self._listen(self._connections[fd])
            while self._soon:
                self._soon.popleft()()
            self._gatherer.fill()
        log.info("engine process ends", extra={"device": self._options.device})

    def _is_over(self) -> bool:
        return self._stopping and not self._connections

    def _on_term(self, _signal: int, _frame: object) -> None:
        self._stopping = True
        self._wake()

    def _wake(self) -> None:
        os.eventfd_write(self._wake_fd, 1)

    def _count(self, images: int) -> None:
        with self._counting:
            self._batches += 1
            self._images += images
            self._pulse.count(self._batches, self._images)

    # ---- workers

    def _welcome(self) -> None:
        """A worker knocked: its socket comes with the message."""
        for _ in range(MAX_MESSAGES_A_TURN):
            try:
                message, fds = receive(self._door)
            except BlockingIOError:
                return
            if len(fds) != 1 or message[:1] != bytes([Kind.KNOCK]):
                for fd in fds:
                    os.close(fd)
                continue
            sock = socket.socket(fileno=fds[0])
            sock.setblocking(False)
            connection = Connection(sock)
            self._connections[connection.socket.fileno()] = connection
            self._epoll.register(connection.socket.fileno(), select.EPOLLIN)
            connection.send(WELCOME)

    def _listen(self, connection: Connection) -> None:
        try:
            for _ in range(MAX_MESSAGES_A_TURN):
                message, fds = receive(connection.socket)
                if not message:
                    self._say_goodbye(connection)
                    return
                self._obey(connection, message, fds)
        except BlockingIOError:
            return
        except (WireError, OnsightError, ValueError, OSError) as error:
            if not isinstance(error, ConnectionError):
                log.error("a worker's message makes no sense", extra={"reason": str(error)})
            self._say_goodbye(connection)

    def _say_goodbye(self, connection: Connection) -> None:
        """Its memory goes with it; what it still waits for is dropped, and what runs is written where nobody looks."""
        fd = connection.socket.fileno()
        self._epoll.unregister(fd)
        del self._connections[fd]
        connection.close()
        for seat in list(connection.seats.values()):
            self._leave(seat)

    def _obey(self, connection: Connection, message: bytes, fds: list[int]) -> None:
        kind = message[0]
        if kind == Kind.SUBMIT and not fds:
            self._submit(connection, message)
        elif kind == Kind.LOAD and len(fds) == 2:
            self._load(connection, message, *fds)
        elif kind == Kind.UNLOAD and not fds:
            seat = connection.seats.get(unpack_unload(message))
            if seat is not None:
                self._leave(seat)
        else:
            for fd in fds:
                os.close(fd)
            raise WireError(f"unexpected message of kind {kind} with {len(fds)} descriptors")

    def _submit(self, connection: Connection, message: bytes) -> None:
        submit = unpack_submit(message)
        seat = connection.seats.get(submit.handle)
        if seat is None or seat.model.engine is None:
            raise WireError(f"request for model {submit.handle}, which is not loaded")
        request = Request(seat, submit.request_id, submit.slots, submit.deadline, submit.alone)
        if request.size > seat.model.room or not seat.arena.is_filled_for(request.slots, request.request_id):
            raise WireError(f"request of {request.size} images does not fit its slots or the model's batch")
        self._gatherer.put(request)

    # ---- models

    def _load(self, connection: Connection, message: bytes, arena_fd: int, package: int) -> None:
        try:
            load = unpack_load(message)
            if load.handle in connection.seats:
                raise WireError(f"model {load.handle} is loaded already")
            known = self._models.get(load.key)
            model = known or HostedModel(load.key, read_manifest(package), package)
            arena = Arena(arena_fd, model.arena_shape(load.slots))
            if known is None:
                model.package = os.dup(package)
        finally:
            os.close(arena_fd)
            os.close(package)
        seat = connection.seats[load.handle] = Seat(connection, load.handle, model, arena)
        model.seats.add(seat)
        if known is None:
            self._models[load.key] = model
            self._loading += 1
            self._pulse.holds(len(self._models), self._loading)
            self._jobs.put(lambda: self._open(model))
        elif model.engine is not None:
            self._tell_loaded(model, [seat])

    def _leave(self, seat: Seat) -> None:
        seat.connection.seats.pop(seat.handle, None)
        model = seat.model
        model.seats.discard(seat)
        if not model.seats and model.engine is not None and self._models.get(model.key) is model:
            self._drop(model)

    def _drop(self, model: HostedModel) -> None:
        del self._models[model.key]
        self._pulse.holds(len(self._models), self._loading)
        self._gatherer.retire(model)

    def _tell_loaded(self, model: HostedModel, seats: list[Seat]) -> None:
        assert model.engine is not None
        engine = model.engine
        document = {
            "providers": list(engine.providers),
            "library": engine.library,
            "device": engine.device,
            "room": model.room,
        }
        for seat in seats:
            seat.connection.send(pack_text(Kind.LOADED, seat.handle, document), [model.package])

    # ---- loader thread

    def _do_jobs(self) -> None:
        while True:
            try:
                self._jobs.get()()
            except Exception:
                log.exception("closing a model failed")

    def _open(self, model: HostedModel) -> None:
        """Build, warm up every batch size, then hand over to the main thread."""

        def progress(text: str) -> None:
            for seat in list(model.seats):  # from here, at once: the next step may be the end of the process
                seat.connection.send(pack_text(Kind.PROGRESS, seat.handle, {"text": text}))

        progress("loading")
        began = time.monotonic()
        try:
            graph, private = read_graph(model.package, model.key)
            engine = self._build(model.manifest, graph, progress, private=private)
            sizes = self._options.sizes_on(engine.providers[0])
            fixed = engine.providers[0] != CPU
            stagings = [new_staging(engine, model.manifest, sizes, fixed=fixed) for _ in range(self._options.lanes + 1)]
            for size in sizes if fixed else sizes[:1]:
                progress(f"warming up batches of {size}")
                for staging in stagings:
                    staging.infer(size)
        except Exception as error:
            if not isinstance(error, OnsightError):
                log.exception("model failed to load")
                error = EngineError(f"graph: it fails when it runs ({type(error).__name__}). Export the bundle again.")
            failure = {"code": error.code, "reason": str(error)}
            self._call_soon(lambda: self._on_failed(model, failure))
            return
        log.info(
            "model loaded",
            extra={
                "device": self._options.device,
                "model": model.manifest.name,
                "version": model.manifest.version,
                "providers": ",".join(engine.providers),
                "library": engine.library,
                "runs_on": engine.device,
                "batch_sizes": ",".join(map(str, sizes)),
                "seconds": round(time.monotonic() - began, 2),
            },
        )

        def hand_over() -> None:
            model.engine, model.room, model.idle, model.stagings = engine, sizes[-1], stagings, len(stagings)
            self._loading -= 1
            self._pulse.holds(len(self._models), self._loading)
            if model.seats:
                self._tell_loaded(model, list(model.seats))
            else:  # everybody left while it was loading
                self._drop(model)

        self._call_soon(hand_over)

    def _call_soon(self, call: Callable[[], None]) -> None:
        self._soon.append(call)
        self._wake()

    def _on_failed(self, model: HostedModel, failure: dict[str, str]) -> None:
        self._loading -= 1
        del self._models[model.key]
        self._pulse.holds(len(self._models), self._loading)
        for seat in list(model.seats):
            seat.connection.seats.pop(seat.handle, None)
            seat.connection.send(pack_text(Kind.LOADED, seat.handle, failure))
        model.close()


def end_with(parent: int) -> None:
    """Make the kernel kill this process when the parent has ended, also if it has already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def main() -> None:
    options = HostOptions.from_json(sys.argv[1])
    end_with(options.parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    configure_logging(options.log_format, options.log_level)
    Host(options).run()
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(0)  # lanes may still be within the runtime, and a destructor under them would crash


if __name__ == "__main__":
    main()
