"""Slow clients without a proxy in front: a thousand that trickle, and good requests that are answered meanwhile.

ONSIGHT_TEST_SLOW_CLIENTS sets how many (default 1,000, as promised).
"""

from __future__ import annotations

import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from color_bundle import RED
from running_server import Install, RunningServer

from server.hosting.gunicorn_app import MIN_CONNECTIONS, SPARE_FILES, allow_connections

SLOW_CLIENTS = int(os.environ.get("ONSIGHT_TEST_SLOW_CLIENTS", "1000"))
GOOD_REQUESTS = 400
V1 = "/v1/predict/default/colours"

Serve = Callable[..., RunningServer]


@contextmanager
def open_files(count: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard not in (resource.RLIM_INFINITY,) and hard < count:
        pytest.skip(f"needs {count} open files, this process may have {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Tricklers:
    """Clients that send a byte a second, in a head or in a body, and come back when they are cut off."""

    def __init__(self, port: int, token: str, count: int) -> None:
        body = f"POST {V1} HTTP/1.1\r\nHost: localhost\r\nX-Auth-token: {token}\r\nContent-Length: 95000\r\n\r\n"
        self._heads = [b"POST /v1/pre" if number % 10 < 3 else body.encode() for number in range(count)]
        self._port = port
        self._clients: list[socket.socket | None] = [None] * count
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.open = 0

    def __enter__(self) -> Tricklers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            for number, client in enumerate(self._clients):
                try:
                    if client is None:
                        client = socket.create_connection(("127.0.0.1", self._port), timeout=5)
                        self._clients[number] = client
                        client.sendall(self._heads[number])
                    else:
                        client.sendall(b"x")
                except OSError:
                    if client is not None:
                        client.close()
                    self._clients[number] = None
            self.open = sum(client is not None for client in self._clients)
            self._over.wait(max(0.0, 1 - (time.monotonic() - began)))
        for client in self._clients:
            if client is not None:
                client.close()


@pytest.mark.slow
@pytest.mark.alone  # a thousand clients send a byte every second
def test_a_thousand_slow_clients_keep_no_good_one_from_its_answer(
    install: Install, serve: Serve, record_property: Callable[[str, object], None]
) -> None:
    install.add_bundle()
    token = install.add_token()
    with open_files(SLOW_CLIENTS + 256):
        server = serve(workers="2", client_timeout_s="60", log_level="warning")
        server.wait_for_status(200)
        with Tricklers(server.port, token, SLOW_CLIENTS) as slow:
            end = time.monotonic() + 60
            while slow.open < SLOW_CLIENTS:
                assert time.monotonic() < end, slow.open
                time.sleep(0.1)
            answered = 0
            for _ in range(GOOD_REQUESTS):
                with suppress(OSError):
                    answered += server.ask("POST", V1, RED, token).status == 200
            open_at_the_end = slow.open
    record_property("figure", f"{SLOW_CLIENTS:,} slow, {answered} of {GOOD_REQUESTS} good requests answered")
    assert open_at_the_end >= 0.95 * SLOW_CLIENTS, "the slow ones were there all the time"
    assert answered >= 0.99 * GOOD_REQUESTS
    assert "Traceback" not in server.log


def test_connections_are_as_many_as_files_may_be_open(caplog: pytest.LogCaptureFixture) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (600, hard))
        assert allow_connections(1000) == 1000
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 1000 + SPARE_FILES
        assert not caplog.records
        enough = resource.RLIM_INFINITY if hard == resource.RLIM_INFINITY else hard
        if enough != resource.RLIM_INFINITY:
            assert allow_connections(2 * hard) == hard - SPARE_FILES
            assert "limit of open files" in caplog.text
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert MIN_CONNECTIONS < SPARE_FILES
