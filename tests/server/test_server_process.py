"""The life of a server process: start, readiness, crash, reload, stop."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from color_bundle import RED
from running_server import ROOT, START, Install, RunningServer, Served, free_port, server_environment

from server.tokens import Scope

pytestmark = pytest.mark.slow  # each starts a server of its own

Serve = Callable[..., RunningServer]
V1 = "/v1/predict/default/colours"


def worker_pids(server: RunningServer) -> list[int]:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


def test_importing_the_server_does_not_import_torch_or_the_runtime() -> None:
    code = (
        "import sys, server.hosting.gunicorn_app, onsight.client;"
        "print([name for name in ('torch', 'transformers', 'onnxruntime', 'trainer', 'exporter', 'sklearn')"
        " if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_beyond_loopback_without_a_token_it_refuses_to_start(install: Install) -> None:
    environment = server_environment(install, free_port(), host="0.0.0.0")
    ended = subprocess.run([sys.executable, "-c", START], cwd=ROOT, env=environment, capture_output=True, timeout=120)
    assert ended.returncode != 0
    assert b"onsight token create" in ended.stderr


def test_beyond_loopback_with_a_token_it_starts(install: Install, serve: Serve) -> None:
    install.add_token()
    install.add_bundle()
    serve(host="0.0.0.0").wait_for_status(200)


def test_without_a_model_it_lives_says_why_and_is_not_ready(install: Install, serve: Serve) -> None:
    (install.models / "broken.onsight").write_text("not a bundle")
    token = install.add_token()
    server = serve()
    server.wait_for_status(503)
    end = time.monotonic() + 60
    while (ready := server.ask("GET", "/health/ready")).json["status"] == "loading":
        assert time.monotonic() < end
        time.sleep(0.02)
    assert ready.status == 503
    assert ready.json["status"] == "no_models"
    assert ready.json["failed"] == [{"project": "default", "code": "BUNDLE_MALFORMED"}]
    assert server.ask("GET", "/health/live").status == 200
    assert server.ask("POST", V1, RED, token).json["code"] == "MODEL_NOT_FOUND"
    assert "broken.onsight" in server.log


def test_a_request_that_comes_while_models_load_waits_for_them(install: Install, serve: Serve) -> None:
    install.add_bundle()
    token = install.add_token()
    server = serve()
    end = time.monotonic() + 60
    while True:
        try:
            reply = server.ask("POST", V1, RED, token)
            break
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.01)
    assert reply.status == 200


def test_on_sigterm_readiness_turns_503_while_predictions_are_still_answered(install: Install, serve: Serve) -> None:
    install.add_bundle()
    token = install.add_token()
    server = serve(drain_s="6")
    server.wait_for_status(200)
    server.process.send_signal(signal.SIGTERM)
    assert server.wait_for_status(503).json["status"] == "draining"
    assert server.ask("POST", V1, RED, token).status == 200
    assert server.process.wait(60) == 0


def test_a_worker_that_dies_while_the_server_drains_is_replaced(install: Install, serve: Serve) -> None:
    install.add_bundle()
    token = install.add_token()
    server = serve(drain_s="30")
    server.wait_for_status(200)
    (killed,) = worker_pids(server)
    server.process.send_signal(signal.SIGTERM)
    server.wait_for_status(503)
    os.kill(killed, signal.SIGKILL)
    assert server.ask("POST", V1, RED, token).json["labels"] == ["red"]
    assert worker_pids(server) != [killed]
    server.process.send_signal(signal.SIGINT)  # and nobody waits for the rest


def test_a_keyboard_interrupt_ends_it_at_once(install: Install, serve: Serve) -> None:
    server = serve(drain_s="60")
    server.wait_for_status(503)
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(60) == 0


def test_a_killed_worker_is_replaced_and_serves_the_same_models(install: Install, serve: Serve) -> None:
    bundle = install.add_bundle()
    token = install.add_token()
    server = serve()
    server.wait_for_status(200)
    bundle.write_bytes(b"PK and no more")  # what served before is kept
    (killed,) = worker_pids(server)
    os.kill(killed, signal.SIGKILL)
    assert server.ask("POST", V1, RED, token).json["labels"] == ["red"]
    assert worker_pids(server) != [killed]


def test_a_killed_worker_is_replaced_though_someone_tidied_the_run_folder_away(install: Install, serve: Serve) -> None:
    install.add_bundle()
    token = install.add_token()
    server = serve()
    server.wait_for_status(200)
    (run_folder,) = (install.home.path / "run").iterdir()
    shutil.rmtree(run_folder)
    (killed,) = worker_pids(server)
    os.kill(killed, signal.SIGKILL)
    server.wait_for_status(200)
    assert server.ask("POST", V1, RED, token).json["labels"] == ["red"]
    assert worker_pids(server) != [killed]


def test_clients_that_fall_silent_are_told_and_hold_no_thread(install: Install, serve: Serve) -> None:
    install.add_bundle()
    token = install.add_token()
    server = serve(client_timeout_s="1")
    server.wait_for_status(200)
    head = f"POST {V1} HTTP/1.1\r\nHost: localhost\r\nX-Auth-token: {token}\r\nContent-Length: 1000\r\n\r\n"
    with ExitStack() as stack:
        silent = []
        for sent in (b"P", head.encode() + b"ten bytes."):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20))
            client.sendall(sent)
            silent.append(client)
        assert server.ask("POST", V1, RED, token).json["labels"] == ["red"]
        for client in silent:
            answer = b"".join(iter(lambda: client.recv(1000), b""))  # noqa: B023 - read at once
            assert answer.startswith(b"HTTP/1.1 408")
            assert b"CLIENT_SILENT" in answer
    assert "ERROR" not in server.log


def test_a_client_that_hangs_up_within_its_body_is_told_if_it_still_listens(install: Install, serve: Serve) -> None:
    install.add_bundle()
    token = install.add_token()
    server = serve()
    server.wait_for_status(200)
    head = f"POST {V1} HTTP/1.1\r\nHost: localhost\r\nX-Auth-token: {token}\r\nContent-Length: 1000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(head.encode() + b"ten bytes.")
        client.shutdown(socket.SHUT_WR)
        assert b"BODY_BROKEN" in b"".join(iter(lambda: client.recv(1000), b""))


def test_refused_clients_that_do_not_hang_up_keep_nobody_waiting(install: Install, serve: Serve) -> None:
    install.add_bundle()
    server = serve()
    server.wait_for_status(200)
    with ExitStack() as stack:
        for _ in range(40):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20))
            client.sendall(b"not HTTP\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 400")
        assert server.ask("GET", "/health/live").status == 200  # one after the other they would take over a minute


def test_sighup_serves_what_lies_in_the_folder_now(install: Install, serve: Serve) -> None:
    install.add_bundle("one.onsight", version="1")
    token = install.add_token()
    server = serve()
    server.wait_for_status(200)
    install.add_bundle("two.onsight", version="2")
    server.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + 60
    while (answer := server.ask("POST", V1, RED, token).json)["version"] != "2":
        assert time.monotonic() < end, answer
        time.sleep(0.05)


def test_programs_on_this_machine_need_no_token_where_the_operator_says_so(install: Install, serve: Serve) -> None:
    install.add_bundle()
    admin = install.add_token("admin", Scope.ADMIN)
    server = serve(allow_anonymous_loopback="true")
    server.wait_for_status(200)
    assert server.ask("POST", V1, RED).status == 200
    assert server.ask("POST", V1, RED, "wrong").status == 401
    assert server.ask("POST", V1, RED, admin).status == 403
    for header in (
        {"X-Forwarded-For": "10.0.0.9"},
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        assert server.ask("POST", V1, RED, headers=header).status == 401, header
    own = f"http://127.0.0.1:{server.port}"
    assert server.ask("POST", V1, RED, headers={"Origin": own, "Sec-Fetch-Site": "same-origin"}).status == 200


def test_without_any_token_nobody_may_predict(install: Install, serve: Serve) -> None:
    install.add_bundle()
    server = serve()
    server.wait_for_status(200)
    assert server.ask("POST", V1, RED).status == 401
    assert "no token yet" in server.log
    assert b'data-tokens-exist="false"' in server.ask("GET", "/").body
    assert server.ask("POST", V1, RED, install.add_token()).status == 200


def test_a_broken_token_file_closes_the_door_and_says_so(install: Install, serve: Serve) -> None:
    install.add_bundle()
    token = install.add_token()
    server = serve()
    server.wait_for_status(200)
    install.home.tokens_path.write_text("{")
    reply = server.ask("POST", V1, RED, token)
    assert (reply.status, reply.json["code"]) == (503, "TOKEN_STORE")
    assert str(install.home.path) not in reply.body.decode()
    assert "tokens.json" in server.log


def test_every_log_line_is_json_when_asked(served: Served) -> None:
    lines = served.server.log.splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT", json.loads(line)["time"]) for line in lines)
    assert {"model ready", "bundle skipped", "models published"} <= {json.loads(line)["event"] for line in lines}
