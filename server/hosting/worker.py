"""A worker process: one thread that talks to clients and never waits, and threads that answer whole requests.

In this order: accept (the worker with the fewest connections first), read until a request is whole, queue it, answer,
send. So a slow client costs memory and no thread; what waits is counted, bounded and has a deadline; and health,
metrics and pages have threads of their own, which no prediction can take. Nothing here knows of models.

Built on Gunicorn's Worker, parser and response; its own workers give a thread to whoever has sent a first byte.
A little over 400 lines, since these are the transitions of one state machine and are read together; what a connection,
the framing of a request and a refusal are stands beside it.
"""

from __future__ import annotations

import errno
import logging
import os
import queue
import selectors
import signal
import ssl
import threading
import time
from socket import socket
from typing import Any

from gunicorn.http import errors, wsgi
from gunicorn.workers.base import Worker

from server.hosting.board import Board
from server.hosting.connection import Connection, PlainHttp, State
from server.hosting.refusals import Refusal, refusal_of, refuse
from server.hosting.request_scan import Arrival
from server.hosting.tls import Certificate

log = logging.getLogger("onsight.server")

SCRATCH_BYTES = 256 * 1024
TICK_S = 0.5
LINGER_S = 3.0
LINGER_BYTES = 256 * 1024 * 1024
STOP_IDLE_S = 2.0  # how long a stopping worker still answers on a kept-alive connection, in the end with a close
# A client that closed its side may still read the answer; one that also waited this long has probably given up.
ABANDONED_S = 1.0
ATTENDANTS = 4  # threads for everything but predictions
# A worker that has more connections than its siblings leaves a new one to them for this long.
YIELD_S = 0.002
PREDICTING = (b"predict", b"/infer")


class OnsightWorker(Worker):  # type: ignore[misc]
    """See the module."""

    board_slot: int  # set by the parent before the fork

    def init_process(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._connections: set[Connection] = set()
        self._scratch = memoryview(bytearray(SCRATCH_BYTES))
        self._predictions: queue.SimpleQueue[Connection | None] = queue.SimpleQueue()
        self._errands: queue.SimpleQueue[Connection | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        self._running: dict[int, float] = {}  # thread -> when its present request began
        self._listening = False
        self._welcoming = False  # would take connections, were it not for a sibling that has fewer
        self._yielded = False
        self._yielded_until = 0.0
        self._buffered = 0  # bytes in all inboxes; each tick counts them anew
        self._crowded = False
        self._fastest: Connection | None = None  # that reads on although the worker is crowded
        super().init_process()

    # ---- life

    def init_signals(self) -> None:
        super().init_signals()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a closed terminal tells all processes; the parent passes it on

    def handle_exit(self, sig: int, frame: Any) -> None:
        self.alive = False

    def handle_quit(self, sig: int, frame: Any) -> None:
        self.alive = False
        os._exit(0)

    def run(self) -> None:
        settings = self.app.settings
        self._board: Board = self.app.board
        self._certificate: Certificate | None = self.app.certificate
        self._selector.register(self._wake, selectors.EVENT_READ, self._collect)
        for listener in self.sockets:
            listener.setblocking(False)
        for queue_, count in ((self._predictions, settings.thread_count), (self._errands, ATTENDANTS)):
            for number in range(count):
                name = f"{'predict' if queue_ is self._predictions else 'attend'}-{number}"
                threading.Thread(target=self._answer_all, args=(queue_,), name=name, daemon=True).start()
        next_tick = 0.0
        stop_at = idle_until = 0.0
        while True:
            now = time.monotonic()
            if not self.alive and not stop_at:
                stop_at, idle_until = now + self.cfg.graceful_timeout, now + STOP_IDLE_S
            if now >= next_tick:
                next_tick = now + TICK_S
                if not self._tick(now, stopping=bool(stop_at), idle_until=idle_until):
                    break
            if stop_at and (now >= stop_at or not self._connections):
                break
            self._welcoming = not stop_at and self._has_room()
            self._listen(self._welcoming and now >= self._yielded_until)
            pause = self._yielded_until - now if self._yielded_until > now else next_tick - now
            for key, _ in self._selector.select(max(0.0, pause)):
                key.data(key.fileobj)
        self._selector.close()
        for connection in self._connections:
            connection.close()

    def _tick(self, now: float, *, stopping: bool, idle_until: float) -> bool:
        """Everything that happens by the clock. False when the parent has gone."""
        if os.getppid() != self.ppid:
            return False
        if not any(now - began > self.app.hang_s for began in list(self._running.values())):
            self.notify()  # a request that never ends is a worker that the parent should replace
        if self._certificate is not None:
            self._certificate.refresh()
        settings = self.app.settings
        self._buffered = sum(len(connection.inbox) for connection in self._connections)
        for connection in list(self._connections):
            quiet_s = now - connection.quiet_since
            match connection.state:
                case State.READING if connection.inbox:
                    if connection.too_slow(now, settings.client_timeout_s):
                        self._refuse(connection, Refusal.CLIENT_SILENT)
                case State.READING:
                    if quiet_s > self.cfg.keepalive or (stopping and now > idle_until):
                        self._drop(connection)
                case State.HANDSHAKE | State.WRITING:
                    if quiet_s > settings.client_timeout_s:
                        self._drop(connection)
                case State.LINGERING:
                    if now - connection.since > LINGER_S:
                        self._drop(connection)
        crowded, self._crowded = self._crowded, self._buffered > settings.max_buffered_bytes
        if crowded or self._crowded:
            self._let_uploads_on(now)
        self._report()
        return True

    def _let_uploads_on(self, now: float) -> None:
        """All of them, or while there are too many the fastest: else they would wait for each other for good."""
        waiting = [each for each in self._connections if each.state is State.READING and each.inbox]
        self._fastest = max(waiting, key=lambda each: each.rate(now), default=None) if self._crowded else None
        for connection in waiting:
            if not self._crowded or connection is self._fastest:
                self._watch(connection, selectors.EVENT_READ)

    def _report(self) -> None:
        """Tell the siblings and the metrics how busy this worker is."""
        self._board.report(
            self.board_slot, os.getpid(), self._welcoming, len(self._connections), self._predictions.qsize()
        )

    # ---- accepting

    def _listen(self, flag: bool) -> None:
        if flag is not self._listening:
            self._listening = flag
            for listener in self.sockets:
                if flag:
                    self._selector.register(listener, selectors.EVENT_READ, self._accept)
                else:
                    self._selector.unregister(listener)

    def _has_room(self) -> bool:
        room = len(self._connections) < self.cfg.worker_connections
        return bool(self.app.may_accept()) and (room or self._drop_idlest())

    def _drop_idlest(self) -> bool:
        """Make room for a new client: the one that has been idle for longest goes."""
        idle = [each for each in self._connections if each.state is State.READING and not each.inbox]
        if idle:
            self._drop(min(idle, key=lambda connection: connection.quiet_since))
        return bool(idle)

    def _accept(self, listener: socket) -> None:
        now = time.monotonic()
        fewest = self._board.fewest_connections(self.board_slot)
        if fewest is not None and len(self._connections) > fewest and not self._yielded:
            self._yielded = True  # a sibling has fewer; if it is too busy to take this one, we will
            self._yielded_until = now + YIELD_S
            self._listen(False)
            return
        self._yielded = False
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                log.error("connection not accepted", extra={"reason": error.strerror})
                self._yielded_until = now + TICK_S  # out of descriptors, perhaps: do not spin
            return
        client.setblocking(False)
        tls = self._certificate.context if self._certificate is not None else None
        connection = Connection(client, address, self.cfg, self.app.max_body_bytes, now, tls)
        self._connections.add(connection)
        self._report()
        self._watch(connection, selectors.EVENT_READ)
        if connection.state is State.READING:
            self._read(connection)  # the request is mostly there already

    # ---- reading

    def _watch(self, connection: Connection, events: int) -> None:
        if events == connection.watched:
            return
        if connection.watched and events:
            self._selector.modify(connection.socket, events, lambda _: self._on_event(connection))
        elif events:
            self._selector.register(connection.socket, events, lambda _: self._on_event(connection))
        else:
            self._selector.unregister(connection.socket)
        connection.watched = events

    def _on_event(self, connection: Connection) -> None:
        match connection.state:
            case State.READING:
                self._read(connection)
            case State.HANDSHAKE:
                self._shake_hands(connection)
            case State.WRITING:
                self._send(connection)
            case State.LINGERING:
                self._linger(connection)
            case State.BUSY:  # it has sent more, or hung up; either way there is time after the answer
                self._watch(connection, 0)
                connection.gone = connection.hung_up()

    def _shake_hands(self, connection: Connection) -> None:
        try:
            connection.handshake()
        except (BlockingIOError, ssl.SSLWantReadError):
            self._watch(connection, selectors.EVENT_READ)
        except ssl.SSLWantWriteError:
            self._watch(connection, selectors.EVENT_WRITE)
        except PlainHttp:
            self._refuse(connection, Refusal.TLS_EXPECTED)
        except OSError:
            self._drop(connection)
        else:
            self._watch(connection, selectors.EVENT_READ)
            self._read(connection)

    def _read(self, connection: Connection) -> None:
        """Take what is there; queue the request when it is whole."""
        while True:
            if self._crowded and connection.inbox and connection is not self._fastest:
                self._watch(connection, 0)  # until others have been answered
                return
            now = time.monotonic()
            count = connection.fill(self._scratch, now)
            if count < 0:
                self._watch(connection, selectors.EVENT_READ)
                return
            self._buffered += count
            if self._buffered > self.app.settings.max_buffered_bytes:
                self._crowded = True
            arrival = connection.arrival()
            if count == 0 and arrival is not Arrival.BODY:  # a body that broke off is answered
                self._drop(connection)
                return
            if count == 0 or arrival is Arrival.WHOLE:
                if count == 0:
                    connection.cut_off()
                    self._watch(connection, 0)  # it may still listen
                self._queue(connection, now)
                return
            if arrival is Arrival.BODY:
                connection.welcome_body()

    def _queue(self, connection: Connection, now: float) -> None:
        connection.state, connection.queued_at, connection.gone = State.BUSY, now, False
        if not any(word in connection.target for word in PREDICTING):
            self._errands.put(connection)
        elif self._predictions.qsize() >= self.app.settings.max_queue:
            self.app.count_refusal(Refusal.QUEUE_FULL)
            connection.keep = connection.skip_request()
            refuse(connection, Refusal.QUEUE_FULL, keep=connection.keep)
            self._hand_back(connection)  # and not sent from here: thousands may have come in one piece
        else:
            self._predictions.put(connection)

    # ---- answering: threads

    def _answer_all(self, requests: queue.SimpleQueue[Connection | None]) -> None:
        me = threading.get_ident()
        while (connection := requests.get()) is not None:
            self._running[me] = time.monotonic()
            try:
                connection.keep = self._answer(connection)
            except BaseException:
                log.exception("request failed unexpectedly")
                connection.keep = False
            finally:
                del self._running[me]
            self._hand_back(connection)
            del connection

    def _hand_back(self, connection: Connection) -> None:
        """Its answer is in the outbox."""
        self._done.put(connection)
        os.eventfd_write(self._wake, 1)

    def _answer(self, connection: Connection) -> bool:
        """Parse, call the application, put the answer into the outbox. Whether the connection may be used again."""
        connection.queue_s = time.monotonic() - connection.queued_at
        if connection.gone and connection.queue_s > ABANDONED_S:
            return False
        if connection.queue_s > self.app.settings.request_timeout_s:
            refuse(connection, Refusal.DEADLINE_EXCEEDED, keep=False)
            self.app.count_refusal(Refusal.DEADLINE_EXCEEDED)
            return False
        try:
            request = next(connection.parser)
            keep = self._call_application(request, connection) and connection.reusable
        except Exception as error:
            refusal = refusal_of(error)
            refuse(connection, refusal, keep=False, error=error)
            self.app.count_refusal(refusal)
            return False
        try:
            return keep and bool(connection.parser.finish_body())
        except (errors.NoMoreData, errors.ParseException):  # it has its answer, and there is no more to say
            return False

    def _call_application(self, request: Any, connection: Connection) -> bool:
        response, environ = wsgi.create(request, connection, connection.address, connection.server_address, self.cfg)
        environ["wsgi.multithread"] = True
        if not self.alive:
            response.force_close()
        chunks = self.wsgi(environ, response.start_response)
        try:
            for chunk in chunks:
                response.write(chunk)
            response.close()
        except Exception:
            if not response.headers_sent:
                raise
            log.exception("answer broke off")
            return False
        finally:
            if hasattr(chunks, "close"):
                chunks.close()
        return not response.should_close()

    # ---- sending

    def _collect(self, _wake: Any) -> None:
        """Take over the connections whose requests were answered."""
        os.eventfd_read(self._wake)
        for _ in range(self._done.qsize()):  # what comes meanwhile has its own wake-up: clients take turns
            connection = self._done.get_nowait()
            connection.state = State.WRITING
            self._send(connection)

    def _send(self, connection: Connection) -> None:
        now = time.monotonic()
        try:
            if not connection.flush(now):
                self._watch(connection, selectors.EVENT_WRITE)
                return
        except OSError:
            self._drop(connection)
            return
        if connection.keep:
            held = len(connection.inbox)
            connection.next_request(now)
            self._buffered += len(connection.inbox) - held
            arrival = connection.arrival()
            if arrival is Arrival.WHOLE:  # sent before it had the answer
                self._queue(connection, now)
                return
            if arrival is Arrival.BODY:
                connection.welcome_body()
            self._watch(connection, selectors.EVENT_READ)
        elif connection.gone:
            self._drop(connection)
        else:
            connection.end_writing()
            connection.state, connection.since, connection.left_to_drop = State.LINGERING, now, LINGER_BYTES
            connection.inbox.clear()
            self._watch(connection, selectors.EVENT_READ)

    def _refuse(self, connection: Connection, refusal: Refusal) -> None:
        """Answer without the application, and close."""
        self.app.count_refusal(refusal)
        refuse(connection, refusal, keep=False)
        connection.keep, connection.state = False, State.WRITING
        self._send(connection)

    def _linger(self, connection: Connection) -> None:
        count = connection.fill(self._scratch, time.monotonic())
        if count >= 0:
            connection.inbox.clear()
            connection.left_to_drop -= count
            if count == 0 or connection.left_to_drop <= 0:
                self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        self._watch(connection, 0)
        self._connections.discard(connection)
        connection.close()
        self._report()
