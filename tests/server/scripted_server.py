"""A server that is busy, slow, broken or somebody else's: it gives the answers of a script, in turn."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GOOD: dict[str, Any] = {
    "project": "default", "model": "m", "version": "1", "task": "single_label", "labels": ["a"], "unknown": False,
    "scores": [{"label": "a", "probability": 0.9, "threshold": 0.5, "above": True}],
    "timings_ms": {"queue": 0.1, "decode": 1, "inference": 2, "total": 4}, "request_id": "r1",
}  # fmt: skip


@dataclass
class Answer:
    """drop: close the connection in place of it.  cut: close it halfway.  slow_s: before each byte.

    slow_head: trickle headers without an end in place of it.  silent: nothing at all, until the client is gone.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = json.dumps(GOOD).encode()
    drop: bool = False
    cut: bool = False
    slow_s: float = 0.0
    slow_head: bool = False
    silent: bool = False


@dataclass
class Scripted:
    """asked: method, path and headers of each request.  at_s: when each came.  connections: how many there were."""

    url: str
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    at_s: list[float] = field(default_factory=list)
    connections: int = 0


@contextmanager
def scripted(*answers: Answer) -> Iterator[Scripted]:
    """After the last answer it gives good ones."""
    waiting = list(answers)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            with lock:
                state.connections += 1

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with lock:
                state.asked.append((self.command, self.path, dict(self.headers)))
                state.at_s.append(time.monotonic())
                answer = waiting.pop(0) if waiting else Answer()
            if answer.drop:
                self.close_connection = True
                return
            if answer.silent:
                self.close_connection = True
                self.rfile.read(1)
                return
            if answer.slow_head:
                self.close_connection = True
                self.trickle(b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 100, answer.slow_s)
                return
            self.send_response(answer.status)
            for name, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            body = answer.body[: len(answer.body) // 2] if answer.cut else answer.body
            self.close_connection = self.close_connection or answer.cut
            self.trickle(body, answer.slow_s)

        def trickle(self, data: bytes, pause_s: float) -> None:
            for piece in [bytes([byte]) for byte in data] if pause_s else [data]:
                time.sleep(pause_s)
                try:
                    self.wfile.write(piece)
                except OSError:  # the client has had enough
                    self.close_connection = True
                    return

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = Scripted(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
