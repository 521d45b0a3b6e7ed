"""A real `onsight serve` on a free port: what a user starts, with Gunicorn in it."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onsight_process import command_environment

SCRIPT = Path(sys.executable).parent / "onsight"
READY_WITHIN_S = 60


@contextmanager
def onsight_serve(models: Path, home: Path, *options: str) -> Iterator[str]:
    """Serve the folder and yield the URL once it is ready; SIGTERM at the end, which must give exit code 0."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    log = models.with_name("server.log")
    environment = command_environment(home, {"ONSIGHT_DRAIN_S": "0"})
    with log.open("wb") as file:
        process = subprocess.Popen(
            [SCRIPT, "serve", models, "--port", str(port), "--workers", "1", *options],
            stdout=file, stderr=subprocess.STDOUT, env=environment,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + READY_WITHIN_S
        while not _is_ready(port):
            assert process.poll() is None, f"the server exited: {log.read_text()}"
            assert time.monotonic() < deadline, f"not ready within {READY_WITHIN_S} s: {log.read_text()}"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
