"""Requests leave no memory behind, whichever way they take; `benchmarks.promises` sends a million of them."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from color_bundle import GREEN, RED
from running_server import Install, RunningServer

ROUNDS, WARM_UP_ROUNDS = 250, 200
MAX_GROWTH_BYTES = 5_000_000  # a leak of three kilobytes a request would be more
FORM = (
    b'--x\r\nContent-Disposition: form-data; name="a"; filename="a.png"\r\n\r\n' + RED + b"\r\n"
    b'--x\r\nContent-Disposition: form-data; name="b"; filename="b.png"\r\n\r\n' + GREEN + b"\r\n--x--\r\n"
)


def resident_bytes(server: RunningServer) -> int:
    """Of the only worker, without what it shares."""
    pid = server.process.pid
    (worker,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    (size,) = re.findall(r"^Pss_Anon:\s+(\d+)", Path(f"/proc/{worker}/smaps_rollup").read_text(), re.MULTILINE)
    return int(size) * 1024


@pytest.mark.slow
def test_many_requests_of_every_kind_leave_no_memory_behind(
    install: Install, serve: Callable[..., RunningServer]
) -> None:
    install.add_bundle()
    token = install.add_token()
    server = serve(log_level="warning")
    server.wait_for_status(200)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)

    def ask(method: str, path: str, body: bytes | None = None, **headers: str) -> None:
        sent = {"X-Auth-token": token, **{name.replace("_", "-"): value for name, value in headers.items()}}
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        answer.read()
        assert answer.status < 500

    def round_of_requests() -> None:
        ask("POST", "/api/predict/default/colours", RED)
        ask("POST", "/v1/predict/default/colours?top=1", GREEN)
        ask("POST", "/v1/predict/default/colours", FORM, Content_Type="multipart/form-data; boundary=x")
        ask("POST", "/v1/predict/default/colours", b"not an image")
        ask("POST", "/v1/predict/default/absent", RED)
        ask("POST", "/v2/models/colours/infer", json.dumps({"inputs": []}).encode(), Content_Type="application/json")
        ask("GET", "/v1/models")
        ask("GET", "/health/ready")

    for _ in range(WARM_UP_ROUNDS):
        round_of_requests()
    before = resident_bytes(server)
    for _ in range(ROUNDS):
        round_of_requests()
    growth = resident_bytes(server) - before
    connection.close()
    assert growth < MAX_GROWTH_BYTES, f"{growth / (8 * ROUNDS):.0f} bytes a request"
