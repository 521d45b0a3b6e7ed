"""Sockets with a deadline for the whole of a request: the pool's own limits are for each read and each write.

For the client with threads alone, which nothing else can end while it waits for a socket. A deadline is one thread's.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpcore2


class Deadlines(httpcore2.NetworkBackend):
    """What the pool makes connections with."""

    def __init__(self) -> None:
        self._sockets = httpcore2.SyncBackend()
        self._of_thread = threading.local()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """What this thread reads and writes here raises httpcore2.TimeoutException from then on."""
        self._of_thread.end = time.monotonic() + seconds
        try:
            yield
        finally:
            del self._of_thread.end

    def left_s(self, timeout: float | None, late: type[httpcore2.TimeoutException]) -> float | None:
        """The smaller of `timeout` and what is left. Raises `late` where nothing is."""
        end: float | None = getattr(self._of_thread, "end", None)
        if end is None:
            return timeout
        if (left := end - time.monotonic()) <= 0:
            raise late("the request's time is up")
        return left if timeout is None else min(timeout, left)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        left_s = self.left_s(timeout, httpcore2.ConnectTimeout)
        return _Stream(self._sockets.connect_tcp(host, port, left_s, local_address, socket_options), self)


class _Stream(httpcore2.NetworkStream):
    def __init__(self, stream: httpcore2.NetworkStream, deadlines: Deadlines) -> None:
        self._stream, self._deadlines = stream, deadlines

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadlines.left_s(timeout, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadlines.left_s(timeout, httpcore2.WriteTimeout))

    def close(self) -> None:
        """Also ends what another thread waits for here; closing alone would let it wait until its time is up."""
        connection: socket.socket = self._stream.get_extra_info("socket")
        with suppress(OSError):  # the other side may have gone first
            connection.shutdown(socket.SHUT_RDWR)
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        left_s = self._deadlines.left_s(timeout, httpcore2.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left_s), self._deadlines)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
