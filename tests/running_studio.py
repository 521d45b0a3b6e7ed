"""A real `onsight studio`: Gunicorn on a free port, its own process group, a home that outlives it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

READY_WITHIN_S = 120
PAGES = "ONSIGHT_STUDIO_PAGES_FOLDER"  # of another build than the tree's own
EMAIL = "admin@example.org"
PASSWORD = "correct horse battery"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class RunningStudio:
    """environment: settings.  token: of an admin, with every scope, once `set_up` was called."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    token: str = ""
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.home.with_name(f"{self.home.name}.log")

    def start(self) -> None:
        """And wait until it answers."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ONSIGHT_") or k == PAGES}
        environment |= {"ONSIGHT_HOME": str(self.home), "ONSIGHT_STUDIO_JOB_WORKERS": "0"}
        environment |= {"ONSIGHT_STUDIO_INDEX_IMAGES": "false", **self.environment}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "onsight.cli", "studio", "--port", str(self.port)],
                stdout=log, stderr=log, env=environment, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + READY_WITHIN_S
        while not self._is_ready():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        """Every process of it, at once, by a signal that nobody can handle."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def set_up(self) -> None:
        """Use the link that the first start printed, and make a token."""
        link = re.findall(r"/setup#(\S+)", self.log.read_text())[-1]
        given = {"secret": link, "email": EMAIL, "password": PASSWORD, "name": "Admin"}
        answer = self.ask("POST", "/studio/v1/setup", json.dumps(given).encode(), {"Content-Type": "application/json"})
        assert answer.status == 200, answer.body
        cookies = "; ".join(line.partition(";")[0] for line in answer.headers.get_all("Set-Cookie") or ())
        headers = {"Content-Type": "application/json", "Cookie": cookies, "X-CSRF-Token": answer.json["csrf_token"]}
        wanted = json.dumps({"name": "test", "scopes": ["admin"]}).encode()
        self.token = self.ask("POST", "/studio/v1/tokens", wanted, headers).json["token"]

    def call(self, method: str, path: str, document: object = None) -> Any:
        """The JSON of an answer that went well."""
        body = None if document is None else json.dumps(document).encode()
        answer = self.ask(method, path, body, {"Content-Type": "application/json", "X-Auth-token": self.token})
        assert answer.status < 300, (answer.status, answer.body)
        return answer.json if answer.body else None

    def ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        connection = self.connect()
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)

    def _is_ready(self) -> bool:
        try:
            return self.ask("GET", "/health/ready").status == 200
        except (OSError, http.client.HTTPException):
            return False


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@contextmanager
def running_studio(home: Path, **environment: str) -> Iterator[RunningStudio]:
    """Started, set up, and gone at the end."""
    studio = RunningStudio(home, environment)
    try:
        studio.start()
        studio.set_up()
        yield studio
    finally:
        if studio.process is not None and studio.process.poll() is None:
            studio.kill()
