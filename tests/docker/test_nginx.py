"""nginx in front of a real server: what passes, what it refuses in our words, and slow clients by the thousand."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import resource
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest
from color_bundle import RED
from nginx_process import NGINX, TEMPLATE, RunningNginx, nginx_before
from running_server import ROOT, START, Install, Reply, RunningServer, free_port, running, server_environment

from server.settings import ServerSettings
from server.tokens import Scope

SLOW_CLIENTS = int(os.environ.get("ONSIGHT_TEST_SLOW_CLIENTS", "1000"))
GOOD_REQUESTS = 200  # at least, while the slow ones are there
IN_A_BODY = 0.7  # of the slow clients; the others are in their headers
PREDICT = "/api/predict/default/colours"

needs_nginx = pytest.mark.skipif(NGINX is None, reason="needs nginx: scripts/install_test_tools.sh installs Debian's")


@dataclass(frozen=True)
class Behind:
    """nginx, the server behind it, and two of its tokens."""

    nginx: RunningNginx
    server: RunningServer
    token: str
    metrics_token: str

    def predict(self, **headers: str) -> Reply:
        return self.nginx.ask("POST", PREDICT, RED, self.token, headers)


@pytest.fixture(scope="module")
def install(new_install: Callable[[], Install]) -> Install:
    return new_install()


@pytest.fixture(scope="module")
def behind(install: Install, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    token, metrics_token = install.add_token("app"), install.add_token("metrics", Scope.METRICS)
    folder = tmp_path_factory.mktemp("nginx")
    options = {"allow_anonymous_loopback": "true", "log_format": "json"}
    with running(install, folder, **options) as server:
        server.wait_for_status(200)
        with nginx_before(server.port, folder, MAX_REQUEST_BYTES="300000", HSTS="max-age=31536000") as nginx:
            yield Behind(nginx, server, token, metrics_token)


def problem(reply: Reply, status: int, code: str) -> dict[str, object]:
    """The document of a refusal in our own words."""
    assert (reply.status, reply.headers["Content-Type"]) == (status, "application/problem+json"), reply.body
    document: dict[str, object] = reply.json
    assert (document["status"], document["code"]) == (status, code)
    assert document["error"] == document["detail"]
    assert document["type"] == f"urn:onsight:problem:{code.lower().replace('_', '-')}"
    assert document["request_id"] == reply.headers["X-Request-Id"]
    return document


@needs_nginx
def test_a_prediction_passes_with_its_request_id(behind: Behind) -> None:
    reply = behind.predict(**{"X-Request-Id": "order-17"})
    assert (reply.status, reply.json[0]["label"]) == (200, "red")
    assert reply.headers.get_all("X-Request-Id") == ["order-17"]
    behind.nginx.wait_for_line('"request_id":"order-17"')
    assert '"order-17"' in behind.server.log, "the server's own line has the same id"
    assert "colours" not in behind.nginx.log, "addresses are not for the log"


@needs_nginx
def test_an_id_that_is_no_plain_one_is_replaced(behind: Behind) -> None:
    reply = behind.predict(**{"X-Request-Id": 'a","status":"x'})
    assert reply.status == 200
    assert len(reply.headers["X-Request-Id"]) == 32


@needs_nginx
def test_who_comes_through_nginx_is_never_a_program_on_this_machine(behind: Behind) -> None:
    assert behind.server.ask("POST", PREDICT, RED).status == 200, "allowed without a token on this machine"
    for forged in ({}, {"X-Forwarded-For": ""}, {"Forwarded": "for=127.0.0.1"}, {"Host": "localhost"}):
        refused = behind.nginx.ask("POST", PREDICT, RED, headers=forged)
        assert (refused.status, refused.json["code"]) == (401, "TOKEN_MISSING")


@needs_nginx
def test_health_passes_and_metrics_do_not(behind: Behind) -> None:
    assert behind.nginx.ask("GET", "/health/ready").json["status"] == "ready"
    assert behind.server.ask("GET", "/metrics", token=behind.metrics_token).status == 200
    for path in ("/metrics", "/metrics/", "//metrics", "/%6Detrics", "/x/../metrics", "/metrics?x=1", "/./metrics"):
        problem(behind.nginx.ask("GET", path, token=behind.metrics_token), 403, "FORBIDDEN")


@needs_nginx
def test_the_servers_own_refusals_pass_unchanged(behind: Behind) -> None:
    reply = behind.nginx.ask("POST", PREDICT, b"not an image", behind.token)
    assert reply.status == 415
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert "error" not in reply.json, "nginx would have said it so"
    assert behind.nginx.ask("GET", "/v1/models", token="onsight_wrong").status == 401


@needs_nginx
def test_too_large_a_body_is_a_problem_document(behind: Behind) -> None:
    problem(behind.nginx.ask("POST", PREDICT, b"x" * 300_001, behind.token), 413, "BODY_TOO_LARGE")


@needs_nginx
def test_what_is_not_http_or_too_long_is_a_problem_document(behind: Behind) -> None:
    problem(behind.nginx.ask("GET", "/" + "a" * 9000), 414, "HTTP_INVALID")
    problem(behind.nginx.ask("GET", "/", headers={"X-Long": "a" * 9000}), 431, "HTTP_INVALID")
    plain = http.client.HTTPConnection("127.0.0.1", behind.nginx.https, timeout=10)
    plain.request("GET", "/")
    answer = plain.getresponse()
    assert (answer.status, json.loads(answer.read())["code"]) == (400, "HTTP_INVALID")
    plain.close()


@needs_nginx
def test_plain_http_is_sent_on_to_https_with_its_method(behind: Behind) -> None:
    plain = http.client.HTTPConnection("localhost", behind.nginx.http, timeout=10)
    plain.request("POST", "/api/predict/default/colours?x=1", RED)
    answer = plain.getresponse()
    assert answer.status == 308, "301 would make a GET of it"
    expected = f"https://localhost:{behind.nginx.https}/api/predict/default/colours?x=1"
    assert answer.getheader("Location") == expected
    plain.close()


@needs_nginx
def test_tls_is_modern_and_hsts_is_the_operators_choice(behind: Behind, tmp_path: Path) -> None:
    assert behind.predict().headers["Strict-Transport-Security"] == "max-age=31536000"
    refused = behind.nginx.ask("GET", "/metrics")
    assert refused.headers["Strict-Transport-Security"] == "max-age=31536000"
    for version, accepted in ((ssl.TLSVersion.TLSv1_3, True), (ssl.TLSVersion.TLSv1_2, True), (None, False)):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if version is None:
            context.set_ciphers("AES128-SHA:@SECLEVEL=0")  # no forward secrecy
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        else:
            context.minimum_version = context.maximum_version = version
        assert _handshake(behind.nginx.https, context) is accepted, version
    with nginx_before(behind.server.port, tmp_path) as nginx:
        assert "Strict-Transport-Security" not in nginx.ask("GET", "/health/live").headers


@needs_nginx
def test_a_server_that_is_not_there_is_502_and_back_at_once_when_it_is(install: Install, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "server.log"
    with nginx_before(port, tmp_path) as nginx:
        refused = nginx.ask("POST", PREDICT, RED, "any")
        problem(refused, 502, "SERVER_UNREACHABLE")
        assert refused.headers["Retry-After"] == "2"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-c", START], cwd=ROOT, env=server_environment(install, port), stdout=out, stderr=out
            )
        server = RunningServer(port, process, log)
        try:
            server.wait_for_status(200)
            assert nginx.ask("GET", "/health/ready").status == 200
            assert server.stop() == 0
        finally:
            process.kill()
            process.wait()


@needs_nginx
def test_a_post_that_reached_a_server_is_never_sent_twice_and_a_get_is(tmp_path: Path) -> None:
    with _HangingUp() as upstream:
        two = f"127.0.0.1:{upstream.port} max_fails=0; server 127.0.0.2:{upstream.port}"
        with nginx_before(upstream.port, tmp_path, UPSTREAM=two) as nginx:
            problem(nginx.ask("POST", PREDICT, RED), 502, "SERVER_UNREACHABLE")
            assert upstream.seen == [b"POST"]
            problem(nginx.ask("GET", "/v1/models"), 502, "SERVER_UNREACHABLE")
            assert upstream.seen == [b"POST", b"GET", b"GET"]


@needs_nginx
@pytest.mark.slow
def test_one_client_with_too_many_requests_open_is_told_so_and_others_are_not(install: Install, tmp_path: Path) -> None:
    token = install.add_token("limits")
    with running(install, tmp_path) as server:
        server.wait_for_status(200)
        with nginx_before(server.port, tmp_path, CONNECTIONS_PER_CLIENT="8") as nginx:
            held = [_unfinished(nginx, "127.0.0.9") for _ in range(8)]
            time.sleep(0.5)
            ninth = _unfinished(nginx, "127.0.0.9")
            assert b" 429 " in ninth.recv(4096).split(b"\r\n")[0]
            assert nginx.ask("POST", PREDICT, RED, token).status == 200, "another address"
            for each in (*held, ninth):
                each.close()


@needs_nginx
@pytest.mark.slow
def test_slow_clients_are_harmless(behind: Behind, record_property: Callable[[str, object], None]) -> None:
    """While a thousand trickle, 99 % of good requests are answered; all of them over TLS."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = SLOW_CLIENTS + 512
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"needs {wanted} open files, this process may have {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        outcome = asyncio.run(_ask_among_slow_clients(behind, SLOW_CLIENTS))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    record_property("figure", f"{SLOW_CLIENTS:,} slow, {outcome.answered} of {outcome.asked} good requests answered")
    assert outcome.trickling_on_average >= 0.95 * SLOW_CLIENTS, "those that nginx cuts off were soon back"
    assert outcome.in_a_body_at_the_end >= 0.95 * IN_A_BODY * SLOW_CLIENTS, "the others were there all the time"
    assert outcome.asked >= GOOD_REQUESTS
    assert outcome.answered >= 0.99 * outcome.asked
    assert outcome.connections_of_the_server < 70, "the slow ones wait in nginx"


def test_the_template_has_the_servers_own_limits() -> None:
    settings = ServerSettings()
    text = TEMPLATE.read_text()
    timeout = int(text.split("proxy_read_timeout ")[1].split("s;")[0])
    assert timeout > settings.request_timeout_s + settings.load_wait_s
    upstream = text.split("upstream onsight {")[1].split("}")[1]
    assert int(upstream.split("keepalive_timeout ")[1].split("s;")[0]) < settings.keepalive_s


class _HangingUp:
    """A server that reads a request and hangs up. seen: the methods."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("", 0))
        self._thread = threading.Thread(target=self._run)
        self.port = int(self._listener.getsockname()[1])
        self.seen: list[bytes] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client:
                    self.seen.append(client.recv(65536).split(b" ")[0])


@dataclass(frozen=True)
class Outcome:
    asked: int
    answered: int
    trickling_on_average: float
    in_a_body_at_the_end: int
    connections_of_the_server: int


async def _ask_among_slow_clients(behind: Behind, count: int) -> Outcome:
    nginx = behind.nginx
    trickling: set[int] = set()
    started = asyncio.Semaphore(50)  # handshakes at once

    def in_a_body(number: int) -> bool:
        return number % 10 < 10 * IN_A_BODY

    async def trickle(number: int) -> None:
        """A byte a second: seven in ten of a body, the others of headers, which come back when they are cut off."""
        address = f"127.0.1.{number % 20 + 1}"
        head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nX-Auth-token: {behind.token}\r\n"
        if in_a_body(number):
            head += "Content-Length: 95000\r\n\r\n"
        writer = None
        while True:
            try:
                async with started:
                    _, writer = await asyncio.open_connection(
                        "127.0.0.1", nginx.https, ssl=nginx.tls, server_hostname="localhost", local_addr=(address, 0)
                    )
                writer.write(head.encode())
                trickling.add(number)
                while not writer.is_closing():
                    await writer.drain()
                    await asyncio.sleep(1)
                    writer.write(b"x")
            except OSError:
                pass
            finally:
                trickling.discard(number)
                if writer is not None:
                    writer.transport.abort()
            await asyncio.sleep(0.1)

    slow = [asyncio.create_task(trickle(number)) for number in range(count)]
    end = time.monotonic() + 60
    while len(trickling) < count and time.monotonic() < end:
        await asyncio.sleep(0.1)
    asked = answered = 0
    counts: list[int] = []
    began = time.monotonic()
    while time.monotonic() < began + 12 or (asked < GOOD_REQUESTS and time.monotonic() < began + 90):
        replies = await asyncio.gather(*(asyncio.to_thread(behind.predict) for _ in range(4)), return_exceptions=True)
        asked += len(replies)
        answered += sum(isinstance(reply, Reply) and reply.status == 200 for reply in replies)
        counts.append(len(trickling))
        await asyncio.sleep(0.1)
    metrics = await asyncio.to_thread(behind.server.ask, "GET", "/metrics", None, behind.metrics_token)
    gauge = next(line for line in metrics.body.decode().splitlines() if line.startswith("onsight_connections "))
    bodies = sum(map(in_a_body, trickling))
    outcome = Outcome(asked, answered, sum(counts) / len(counts), bodies, int(float(gauge.split()[1])))
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    return outcome


def _unfinished(nginx: RunningNginx, address: str) -> ssl.SSLSocket:
    """A request of which the body is missing, from that address."""
    plain = socket.create_connection(("127.0.0.1", nginx.https), 10, (address, 0))
    sock = nginx.tls.wrap_socket(plain, server_hostname="localhost")
    sock.sendall(f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nx".encode())
    return sock


def _handshake(port: int, context: ssl.SSLContext) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 10) as plain, context.wrap_socket(plain):
            return True
    except (ssl.SSLError, ConnectionError):
        return False
