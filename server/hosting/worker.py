"""Gunicorn's parts, bent where our promises need it: logger, socket, worker, arbiter. Nothing here knows of models.

Logger: everything goes through our own log lines.  Socket: no read or write waits forever.
Worker: a request that is not HTTP gets a problem document as well; nobody waits while a connection closes.
Arbiter: on SIGTERM readiness says so first, and the port stays open for a while.
"""

from __future__ import annotations

import errno
import logging
import selectors
import time
import uuid
from concurrent.futures import Future
from functools import partial
from http import HTTPStatus
from socket import SHUT_WR, socket
from typing import Any

from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

from server.problems import MEDIA_TYPE, problem_document

log = logging.getLogger("onsight.server")

LINGER_S = 2.0
LINGER_BYTES = 64 * 1024

STATUS_OF: tuple[tuple[type[Exception], HTTPStatus], ...] = (
    (errors.InvalidResponseHeader, HTTPStatus.INTERNAL_SERVER_ERROR),
    (errors.InvalidResponseHeaderName, HTTPStatus.INTERNAL_SERVER_ERROR),
    (errors.LimitRequestLine, HTTPStatus.REQUEST_URI_TOO_LONG),
    (errors.LimitRequestHeaders, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
    (errors.UnsupportedTransferCoding, HTTPStatus.NOT_IMPLEMENTED),
    (errors.ParseException, HTTPStatus.BAD_REQUEST),
)


class TimedSocket(socket):
    """A client's connection that "blocks" for `timeout_s` at most. Gunicorn asks for blocking sockets without an end,
    so that a few clients that send one byte and then nothing would hold every thread for good.
    """

    timeout_s: float

    @classmethod
    def of(cls, plain: socket, timeout_s: float) -> TimedSocket:
        """Take the connection over from `plain`, which is empty afterwards."""
        timed = cls(plain.family, plain.type, plain.proto, fileno=plain.detach())
        timed.timeout_s = timeout_s
        return timed

    def setblocking(self, flag: bool, /) -> None:
        self.settimeout(self.timeout_s if flag else 0.0)

    def recv(self, *arguments: Any) -> bytes:
        try:
            return super().recv(*arguments)
        except TimeoutError as error:  # Gunicorn closes without a word what was reset, and logs what timed out
            raise ConnectionResetError(errno.ECONNRESET, "the client fell silent") from error


class OnsightWorker(ThreadWorker):  # type: ignore[misc]
    """Threads that answer; what is not HTTP gets a short problem document, which never repeats what was sent."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._lingering: dict[Any, int] = {}  # a connection that is being closed -> bytes still to be read from it

    def enqueue_req(self, conn: Any) -> None:
        if not isinstance(conn.sock, TimedSocket):
            conn.sock = TimedSocket.of(conn.sock, self.app.client_timeout_s)
        super().enqueue_req(conn)

    def finish_request(self, conn: Any, fs: Future[Any]) -> None:
        """Close a connection without waiting for the client's half: Gunicorn would, 2 s each, and accept nobody."""
        if fs.cancelled() or fs.exception() is not None or fs.result():
            super().finish_request(conn, fs)
            return
        try:
            conn.sock.shutdown(SHUT_WR)
            conn.sock.setblocking(False)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._drain, conn))
        except (OSError, ValueError):  # the client has gone
            self._drop(conn)
            return
        conn.timeout = time.monotonic() + LINGER_S
        self._lingering[conn] = LINGER_BYTES

    def murder_pending(self) -> None:
        super().murder_pending()
        now = time.monotonic()
        for conn in [conn for conn in self._lingering if conn.timeout <= now]:
            self._end_lingering(conn)

    def _drain(self, conn: Any, _socket: socket) -> None:
        """Read what a refused client still sends: closing at once could take the answer from it (RFC 9112, 9.6)."""
        try:
            data = conn.sock.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._lingering[conn] -= len(data)
        if not data or self._lingering[conn] <= 0:
            self._end_lingering(conn)

    def _end_lingering(self, conn: Any) -> None:
        del self._lingering[conn]
        self.poller.unregister(conn.sock)
        self._drop(conn)

    def _drop(self, conn: Any) -> None:
        self.nr_conns -= 1
        conn.close()

    def handle_error(self, req: Any, client: socket, addr: Any, exc: Exception) -> None:
        status = next((status for kind, status in STATUS_OF if isinstance(exc, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)
        request_id = uuid.uuid4().hex
        log.log(
            logging.ERROR if status >= HTTPStatus.INTERNAL_SERVER_ERROR else logging.INFO,
            "request refused",
            exc_info=exc if status == HTTPStatus.INTERNAL_SERVER_ERROR else None,
            extra={"request_id": request_id, "status": int(status), "kind": type(exc).__name__},
        )
        code = "INTERNAL" if status == HTTPStatus.INTERNAL_SERVER_ERROR else "HTTP_INVALID"
        body = problem_document(status, code, "The request is not HTTP that this server understands.", request_id)
        head = (
            f"HTTP/1.1 {int(status)} {status.phrase}\r\nConnection: close\r\nContent-Type: {MEDIA_TYPE}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        try:
            client.sendall(head.encode("ascii") + body)
        except OSError:
            log.debug("client went away")
