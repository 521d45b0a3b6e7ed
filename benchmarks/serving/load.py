"""Load on a server: `wrk` posts prepared bodies in turn, and tells throughput, latency and errors.

wrk runs in one thread of its own process; what it costs is told beside, and is part of no server's figures. Its
percentiles are corrected for coordinated omission, for every server alike.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("post.lua")


class LoadError(RuntimeError):
    """wrk is not there, or ended without a result."""


@dataclass(frozen=True)
class Target:
    """Where requests go. bodies: a folder of files 0, 1, ..., each a whole request body."""

    port: int
    path: str
    headers: Mapping[str, str]
    bodies: Path

    def post(self, number: int) -> tuple[int, bytes]:
        """Send one body; returns the status and the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("POST", self.path, (self.bodies / str(number)).read_bytes(), dict(self.headers))
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


@dataclass(frozen=True)
class Load:
    """requests: with a good answer.  errors: refused, broken or timed-out connections and answers that are not 2xx.

    The times are None where nothing waits for an answer.  client_cpu_s: of wrk itself.
    """

    requests: int
    seconds: float
    errors: int
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    client_cpu_s: float

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


def require_wrk() -> None:
    if shutil.which("wrk") is None:
        raise LoadError("wrk: expected it on the path, found none. Install it (Debian: apt-get install wrk).")


def run_wrk(target: Target, connections: int, seconds: float) -> Load:
    """Keep `connections` requests under way for so long. wrk counts whole seconds: `seconds` is rounded."""
    arguments = [part for header in target.headers.items() for part in header]
    command = [
        "wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{max(1, round(seconds))}s",
        "--timeout", "20s", "--latency", "--script", str(SCRIPT), f"http://127.0.0.1:{target.port}{target.path}",
        "--", str(target.bodies), *arguments,
    ]  # fmt: skip
    before = os.times()
    done = subprocess.run(command, capture_output=True, text=True)
    after = os.times()
    lines = [line for line in done.stdout.splitlines() if line.startswith("JSON ")]
    if done.returncode or not lines:
        raise LoadError(f"wrk: expected a result, found exit code {done.returncode}: {done.stdout}{done.stderr}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Load(**json.loads(lines[-1].removeprefix("JSON ")), client_cpu_s=cpu)
