"""A real install in a folder, and a real Gunicorn on a free port. Used by every test that speaks HTTP."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from color_bundle import make_bundle
from flask import Flask

from bundle.home import OnsightHome
from bundle.keys import SigningKey
from server.app import create_app
from server.context import ServerContext
from server.hosting.board import Board
from server.hosting.lifecycle import Lifecycle
from server.metrics import Metrics
from server.models.changes import Changes
from server.models.registry import Registry
from server.models.wishes import Wishes
from server.settings import ServerSettings
from server.tokens import Scope, TokenStore

ROOT = Path(__file__).resolve().parents[2]
CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
START = (
    "from server.hosting.gunicorn_app import serve; from server.settings import ServerSettings; serve(ServerSettings())"
)


@dataclass
class Install:
    """An ONSIGHT_HOME and a models folder."""

    home: OnsightHome
    models: Path
    key: SigningKey
    tokens: TokenStore = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = TokenStore(self.home.tokens_path)

    def add_token(self, name: str = "test", *scopes: Scope) -> str:
        return self.tokens.create(name, scopes or (Scope.PREDICT,), CREATED)

    def add_bundle(self, file_name: str = "colours.onsight", **options: Any) -> Path:
        return make_bundle(self.models / file_name, options.pop("key", self.key), **options)


@dataclass
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class RunningServer:
    port: int
    process: subprocess.Popen[bytes]
    log_path: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        chunks: list[bytes] | None = None,
    ) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            sent = {**({"X-Auth-token": token} if token else {}), **(headers or {})}
            connection.request(method, path, chunks or body, sent, encode_chunked=chunks is not None)
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())
        finally:
            connection.close()

    def wait_for_status(self, status: int, seconds: float = 60) -> Reply:
        """Poll /health/ready until it answers with this status."""
        end = time.monotonic() + seconds
        while True:
            assert self.process.poll() is None, f"the server exited: {self.log}"
            try:
                reply = self.ask("GET", "/health/ready")
                if reply.status == status:
                    return reply
            except OSError:
                pass
            assert time.monotonic() < end, f"no {status} from /health/ready in {seconds} s: {self.log}"
            time.sleep(0.05)

    def wait_for_workers(self, token: str, count: int = 2) -> None:
        """Until so many serve: a server answers as soon as its first worker does."""
        end = time.monotonic() + 60
        while self.ask("GET", "/v1/models", token=token).json["workers"] != {"count": count, "in_step": True}:
            assert time.monotonic() < end, self.log
            time.sleep(0.05)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def children(server: RunningServer) -> tuple[list[int], list[int]]:
    """Process ids of web workers and of engine processes."""
    workers: list[int] = []
    engines: list[int] = []
    for pid in Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        (engines if b"server.engines.process.host" in command else workers).append(int(pid))
    return workers, engines


def free_port() -> int:
    """One that no other worker of pytest-xdist gets before a server has taken it."""
    count, worker = os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"), os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port // 2 % int(count) == int(worker.removeprefix("gw")):  # by twos: Linux prefers odd ones here
            return port


def server_environment(install: Install, port: int, **settings: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ONSIGHT_")}
    return {
        **clean,
        "ONSIGHT_HOME": str(install.home.path),
        "ONSIGHT_MODELS_DIR": str(install.models),
        "ONSIGHT_PORT": str(port),
        "ONSIGHT_WORKERS": "1",
        "ONSIGHT_DRAIN_S": "0",
        **{f"ONSIGHT_{name.upper()}": value for name, value in settings.items()},
    }


@contextmanager
def running(install: Install, folder: Path, **settings: str) -> Iterator[RunningServer]:
    """A real server process; stopped by SIGTERM at the end, which must exit with 0. port: a free one by default."""
    port = int(settings.pop("port", "0")) or free_port()
    log_path = folder / f"server-{port}.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", START],
            cwd=ROOT,
            env=server_environment(install, port, **settings),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    server = RunningServer(port, process, log_path)
    try:
        yield server
        assert server.stop() == 0, server.log
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class Served:
    """A running server and what a client needs. token: may predict.  wrong_scope: is valid and may not."""

    server: RunningServer
    install: Install
    token: str
    wrong_scope: str
    tokens: Mapping[Scope, str] = field(default_factory=dict)


def bare_app() -> Flask:
    """The application without a model, for its routes."""
    settings, registry, board = ServerSettings(), Registry(), Board(1)
    lifecycle = Lifecycle()
    changes = Changes(registry, Wishes(Path("absent") / "wishes.json"), lifecycle, board)
    metrics = Metrics(None, registry, board)
    return create_app(ServerContext(settings, registry, TokenStore(Path("absent")), lifecycle, board, changes, metrics))
