"""What systemd hears from a server of a `Type=notify` unit."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from running_server import ROOT, START, Install, RunningServer, free_port, server_environment


@contextmanager
def running_for(address: str, install: Install, folder: Path) -> Iterator[RunningServer]:
    port = free_port()
    log = folder / "server.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", START],
            cwd=ROOT,
            env={**server_environment(install, port), "NOTIFY_SOCKET": address},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    server = RunningServer(port, process, log)
    try:
        yield server
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("abstract", [False, True], ids=["a path", "an abstract name"])
def test_systemd_hears_ready_once_models_are_loaded_and_stopping_at_the_end(
    install: Install, tmp_path: Path, abstract: bool
) -> None:
    install.add_bundle()
    address = f"@onsight-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + address[1:] if abstract else address)
        systemd.settimeout(30)
        with running_for(address, install, tmp_path) as server:
            assert systemd.recv(4096) == b"READY=1\nSTATUS=serving", server.log
            assert server.ask("GET", "/health/ready").status == 200
            server.process.send_signal(signal.SIGTERM)
            assert systemd.recv(4096) == b"STOPPING=1\nSTATUS=draining"
            assert server.process.wait(30) == 0, server.log


def test_a_socket_on_which_nobody_listens_ends_nothing(install: Install, tmp_path: Path) -> None:
    install.add_bundle()
    with running_for(str(tmp_path / "nobody"), install, tmp_path) as server:
        server.wait_for_status(200)
        assert server.stop() == 0
        assert "systemd could not be told" in server.log
