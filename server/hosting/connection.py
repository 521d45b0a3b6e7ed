"""One client's connection: bytes in until a request is whole, bytes out until the client has taken them.

The worker's main thread fills the inbox and empties the outbox without ever waiting. To Gunicorn's parser and response
this object is the socket: it reads from the inbox, where an end is an end, and writes to the outbox. So no thread that
answers requests waits for a client, however slow.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from enum import Enum, auto
from typing import Any

from gunicorn.http import get_parser

from server.hosting.request_scan import Arrival, RequestScan
from server.hosting.tls import HANDSHAKE

# Below this rate, after a first allowance, an upload is not one that anybody waits for (as Apache's mod_reqtimeout).
MIN_UPLOAD_BYTES_PER_S = 4096


class State(Enum):
    """What the connection does now."""

    HANDSHAKE = auto()  # of TLS
    READING = auto()  # waiting for a request, or for the rest of one
    BUSY = auto()  # its request is queued or being answered
    WRITING = auto()  # the client has not taken all of the answer
    LINGERING = auto()  # refused; what it still sends is read and dropped, so that it sees the answer (RFC 9112, 9.6)


class PlainHttp(Exception):
    """A client began without TLS where TLS is spoken."""


class Connection:
    """Main thread: fill, flush, take_up, close.  Answering thread, while BUSY: recv, send, sendall.

    tls: what to shake hands with first; None where plain HTTP is spoken.
    """

    def __init__(
        self, sock: socket.socket, address: Any, config: Any, max_body_bytes: int, now: float,
        tls: ssl.SSLContext | None = None,
    ) -> None:  # fmt: skip
        self.socket = sock
        self.address = address
        self.server_address = sock.getsockname()
        self.state = State.READING if tls is None else State.HANDSHAKE
        self._tls = tls
        self.inbox = bytearray()
        self.outbox = bytearray()
        self.parser = get_parser(config, self, address)
        self.watched = 0  # events that the selector reports now
        self.keep = True  # after the answer
        self.gone = False  # the client has hung up
        self.since = now  # when the present state, or the present request, began
        self.quiet_since = now  # when the last byte came or went
        self.queued_at = now
        self.queue_s = 0.0  # how long the request waited for a thread
        self.left_to_drop = 0
        self._read_from = 0
        self._max_body_bytes = max_body_bytes
        self._scan = RequestScan(max_body_bytes)

    # ---- main thread

    def handshake(self) -> None:
        """Go on with TLS until it stands. Raises BlockingIOError, SSLWantReadError, SSLWantWriteError for not yet,
        PlainHttp, and OSError for never.
        """
        if self._tls is not None:
            first = self.socket.recv(1, socket.MSG_PEEK)
            if not first:
                raise ConnectionResetError
            tls, self._tls = self._tls, None
            if first[0] != HANDSHAKE:
                raise PlainHttp
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        assert isinstance(self.socket, ssl.SSLSocket)
        self.socket.do_handshake()
        self.state = State.READING

    def fill(self, scratch: memoryview, now: float) -> int:
        """Take what has arrived, at most as much as `scratch` holds. 0: the client has hung up, -1: nothing there."""
        try:
            count = self.socket.recv_into(scratch)
        except (BlockingIOError, ssl.SSLWantReadError):
            return -1
        except OSError:
            count = 0
        if count:
            if not self.inbox:
                self.since = now
            self.inbox += scratch[:count]
            self.quiet_since = now
        return count

    def arrival(self) -> Arrival:
        return self._scan.look(self.inbox) if self.inbox else Arrival.HEAD

    def cut_off(self) -> None:
        """The client will send no more of its request."""
        self._scan.cut = True

    @property
    def reusable(self) -> bool:
        """Whether the request came in full, so that the next byte begins another."""
        return not self._scan.cut

    @property
    def target(self) -> bytes:
        """The request's address as it was sent, for scheduling alone."""
        return self._scan.target

    def welcome_body(self) -> None:
        """Tell a client that waits for it to go on (RFC 9110, 10.1.1); once a request."""
        if self._scan.expects_continue:
            self._scan.expects_continue = False
            with contextlib.suppress(OSError):
                self.socket.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def rate(self, now: float) -> float:
        """Bytes a second at which the present request has come."""
        return len(self.inbox) / (now - self.since + 1e-3)

    def too_slow(self, now: float, timeout_s: float) -> bool:
        """A request that has begun and neither ends nor comes at a rate that anybody would wait for."""
        return bool(self.inbox) and (
            now - self.quiet_since > timeout_s
            or now - self.since > timeout_s + len(self.inbox) / MIN_UPLOAD_BYTES_PER_S
        )

    def flush(self, now: float) -> bool:
        """Send what the client takes at once; True when nothing is left. Raises OSError when it has hung up."""
        while self.outbox:
            try:
                sent = self.socket.send(self.outbox)
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return False
            del self.outbox[:sent]
            self.quiet_since = now
        return True

    def next_request(self, now: float) -> None:
        """Forget the request that was answered; what the client sent behind it is the beginning of the next."""
        behind = self.parser.unreader.take_buffered()
        del self.inbox[: self._read_from]
        if behind:
            self.inbox[:0] = behind
        self._read_from = 0
        self._scan = RequestScan(self._max_body_bytes)
        self.state, self.since, self.quiet_since = State.READING, now, now

    def skip_request(self) -> bool:
        """Count the whole request as read: it is refused without the parser. Whether another may come behind it."""
        self._read_from = self._scan.end or len(self.inbox)
        return self._scan.may_be_skipped(self.inbox)

    def hung_up(self) -> bool:
        """Whether the client has closed its side; looks without reading. Unknown, so False, with TLS."""
        if isinstance(self.socket, ssl.SSLSocket):
            return False
        try:
            return self.socket.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def end_writing(self) -> None:
        if isinstance(self.socket, ssl.SSLSocket):
            with contextlib.suppress(OSError, ValueError):
                self.socket.unwrap()  # says that the answer ends here; whether the client says so too is its own affair
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.close()

    # ---- the socket that Gunicorn's parser and response see

    def recv(self, size: int) -> bytes:
        """What is in the inbox, and b"" behind its end: there is no more to wait for."""
        end = min(self._read_from + size, len(self.inbox))
        with memoryview(self.inbox) as view:
            data = bytes(view[self._read_from : end])
        self._read_from = end
        return data

    def sendall(self, data: bytes) -> None:
        self.outbox += data

    def send(self, data: bytes) -> int:
        """Gunicorn's `100 Continue`: said already, since the body is here."""
        return len(data)

    def settimeout(self, _seconds: float | None) -> None:
        """Nothing here ever waits."""

    def gettimeout(self) -> float | None:
        return 0.0

    def setblocking(self, _flag: bool) -> None:
        """Nothing here ever waits."""

    def fileno(self) -> int:
        return self.socket.fileno()
