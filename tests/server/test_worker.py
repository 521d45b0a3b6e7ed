"""Workers under unfriendly clients: too many, too slow, or pipelining. Real processes and sockets."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from color_bundle import GREEN, RED
from running_server import Install, RunningServer

pytestmark = pytest.mark.slow  # each starts a server of its own

Serve = Callable[..., RunningServer]
V1 = "/v1/predict/default/colours"


def request_bytes(token: str, body: bytes = RED, path: str = V1) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nX-Auth-token: {token}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@contextmanager
def connected(server: RunningServer, count: int = 1) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20)) for _ in range(count)
        ]


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def read_answers(client: socket.socket, count: int) -> list[Answer]:
    """The next answers on one connection; one reader for all of them, since it reads ahead."""

    class Unclosed:
        def __init__(self, file: BinaryIO) -> None:
            self.makefile = lambda *_: file

    answers = []
    file = client.makefile("rb")
    file_close, file.close = file.close, lambda: None  # type: ignore[method-assign]
    for _ in range(count):
        response = http.client.HTTPResponse(Unclosed(file))  # type: ignore[arg-type]
        response.begin()
        answers.append(Answer(response.status, response.headers, response.read()))
    file_close()
    return answers


def test_trickling_clients_take_no_thread_from_the_others(install: Install, serve: Serve) -> None:
    install.add_bundle()
    token = install.add_token()
    server = serve(client_timeout_s="60")
    server.wait_for_status(200)
    whole = request_bytes(token)
    with connected(server, 300) as clients:
        for at in range(3):  # a byte each now and then, and never a whole request
            for client in clients:
                client.sendall(whole[at : at + 1])
            assert server.ask("POST", V1, RED, token).json["labels"] == ["red"]
        assert server.ask("GET", "/health/live").status == 200


def test_more_than_may_wait_are_refused_at_once_and_told_when_to_return(install: Install, serve: Serve) -> None:
    install.add_bundle()
    token = install.add_token()
    server = serve(max_queue="2")
    server.wait_for_status(200)
    statuses: Counter[int] = Counter()
    with connected(server, 60) as clients:
        for client in clients:
            client.sendall(request_bytes(token) * 3)  # pipelined, so that there is always more than it may take
        for client in clients:
            for answer in read_answers(client, 3):
                statuses[answer.status] += 1
                if answer.status == 429:
                    assert answer.json["code"] == "QUEUE_FULL"
                    assert answer.headers["Retry-After"] == "1"
                else:
                    assert answer.json["labels"] == ["red"]
    assert set(statuses) == {200, 429}
    assert sum(statuses.values()) == 180


def test_health_answers_while_predictions_fill_every_thread(install: Install, serve: Serve) -> None:
    """Predictions that wait for a model that never loads take all of their threads, and none of the others."""
    token = install.add_token()
    server = serve(load_wait_s="0")
    server.wait_for_status(503)
    with connected(server, 40) as clients:
        for client in clients:
            client.sendall(request_bytes(token))
        assert server.ask("GET", "/health/live").status == 200


def test_a_request_that_waited_too_long_is_not_computed_any_more(install: Install, serve: Serve) -> None:
    install.add_bundle()
    token = install.add_token()
    server = serve(request_timeout_s="0.001")
    server.wait_for_status(200)
    statuses: Counter[int] = Counter()
    with connected(server, 50) as clients:
        for client in clients:
            client.sendall(request_bytes(token))
        for client in clients:
            (answer,) = read_answers(client, 1)
            statuses[answer.status] += 1
            if answer.status == 503:
                assert answer.json["code"] == "DEADLINE_EXCEEDED"
                assert answer.headers["Retry-After"] == "1"
    assert set(statuses) <= {200, 503}
    assert statuses[503]


def test_pipelined_requests_are_answered_in_order(install: Install, serve: Serve) -> None:
    install.add_bundle()
    token = install.add_token()
    server = serve()
    server.wait_for_status(200)
    with connected(server) as (client,):
        client.sendall(request_bytes(token) + request_bytes(token, GREEN) + request_bytes(token))
        found = [answer.json["labels"] for answer in read_answers(client, 3)]
    assert found == [["red"], ["green"], ["red"]]


def test_a_client_that_asks_whether_to_go_on_is_told_to(install: Install, serve: Serve) -> None:
    install.add_bundle()
    token = install.add_token()
    server = serve()
    server.wait_for_status(200)
    with connected(server) as (client,):
        head, _, body = request_bytes(token).partition(b"\r\n\r\n")
        client.sendall(head + b"\r\nExpect: 100-continue\r\n\r\n")
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert read_answers(client, 1)[0].status == 200


def test_what_follows_a_refused_body_is_never_taken_for_a_request(install: Install, serve: Serve) -> None:
    install.add_bundle()
    token = install.add_token()
    server = serve(max_image_bytes="1024", max_request_bytes="1024")
    server.wait_for_status(200)
    with connected(server) as (client,):
        smuggled = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
        client.sendall(request_bytes(token, smuggled + bytes(200_000))[:400])
        time.sleep(0.2)
        client.sendall(smuggled)
        received = b"".join(iter(lambda: client.recv(10_000), b""))
    assert received.startswith(b"HTTP/1.1 413")
    assert received.count(b"HTTP/1.1") == 1


def test_a_client_that_does_not_read_holds_no_thread(install: Install, serve: Serve) -> None:
    install.add_bundle()
    token = install.add_token()
    server = serve(client_timeout_s="2")
    server.wait_for_status(200)
    page = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(page * 400)  # answers of megabytes, and nobody takes them
        for _ in range(10):
            assert server.ask("POST", V1, RED, token).status == 200


def test_connections_are_spread_evenly_over_the_workers(install: Install, serve: Serve) -> None:
    install.add_bundle()
    token = install.add_token()
    server = serve(workers="2", log_format="json", log_level="debug", keepalive_s="60")
    server.wait_for_status(200)
    server.wait_for_workers(token)
    time.sleep(1)
    with ExitStack() as stack:
        for _ in range(20):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
            stack.callback(connection.close)
            connection.request("GET", "/health/live", headers={"X-Request-ID": "spread"})
            connection.getresponse().read()
        lines = [json.loads(line) for line in server.log.splitlines() if '"spread"' in line]
    served = Counter(line["pid"] for line in lines)
    assert sum(served.values()) == 20
    assert min(served.values()) >= 8
    assert len(served) == 2


def test_a_stopping_worker_answers_what_is_under_way_and_then_closes(install: Install, serve: Serve) -> None:
    install.add_bundle()
    token = install.add_token()
    server = serve(drain_s="0")
    server.wait_for_status(200)
    stopped = threading.Event()
    failures: list[str] = []

    def loop() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        while not stopped.is_set():
            try:
                connection.request("POST", V1, RED, {"X-Auth-token": token})
                answer = connection.getresponse()
            except ConnectionRefusedError:
                return  # the port is closed: nobody was promised anything
            except (OSError, http.client.HTTPException) as error:
                failures.append(repr(error))
                return
            if answer.status != 200 or json.loads(answer.read())["labels"] != ["red"]:
                failures.append(str(answer.status))
            if answer.headers["Connection"] == "close":
                return

    threads = [threading.Thread(target=loop) for _ in range(6)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    assert server.stop() == 0
    stopped.set()
    for thread in threads:
        thread.join()
    assert failures == []


def test_uploads_that_fill_the_memory_are_let_through_one_after_the_other(install: Install, serve: Serve) -> None:
    install.add_bundle()
    token = install.add_token()
    server = serve(max_buffered_bytes=str(1024 * 1024))
    server.wait_for_status(200)
    whole = request_bytes(token, RED + bytes(3_000_000))
    with connected(server, 3) as clients:

        def upload(client: socket.socket) -> None:
            for at in range(0, len(whole), 200_000):
                client.sendall(whole[at : at + 200_000])
                time.sleep(0.05)

        threads = [threading.Thread(target=upload, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        assert [read_answers(client, 1)[0].status for client in clients] == [200, 200, 200]
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("body", [b"5;@@=\r\nhello\r\n0\r\n\r\n", b"5\r\nhello--0\r\n\r\n", b"0\r\nHost: x\r\n\r\n"])
def test_a_body_that_nobody_reads_and_that_is_badly_framed_has_one_answer(
    body: bytes, install: Install, serve: Serve
) -> None:
    server = serve()
    server.wait_for_status(503)
    with connected(server) as (client,):
        client.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
        received = b"".join(iter(lambda: client.recv(10_000), b""))
    assert received.count(b"HTTP/1.1 ") == 1


def test_a_head_that_does_not_end_is_told_so(install: Install, serve: Serve) -> None:
    server = serve()
    server.wait_for_status(503)
    with connected(server) as (client,):
        client.sendall(b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (at, b"a" * 5000) for at in range(14)))
        assert read_answers(client, 1)[0].status == 431


def test_uploads_take_no_more_memory_than_they_may(install: Install, serve: Serve) -> None:
    install.add_bundle()
    token = install.add_token()
    server = serve(max_buffered_bytes=str(16 * 1024 * 1024))
    server.wait_for_status(200)
    (worker,) = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()

    def memory_kib() -> int:
        lines = Path(f"/proc/{worker}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])

    def upload(client: socket.socket) -> None:
        client.settimeout(1)
        with suppress(OSError):
            client.sendall(most)

    most = request_bytes(token, bytes(40_000_000))[:-1]
    before_kib = memory_kib()
    with connected(server, 8) as clients:
        threads = [threading.Thread(target=upload, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        grown_kib = memory_kib() - before_kib
    assert grown_kib < (16 + 40 + 40) * 1024, "the limit, the one upload that goes on, and what growing it takes"
