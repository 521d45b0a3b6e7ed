"""A server that runs, predicts and reloads tries no address outside this machine; the kernel is the witness."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from outside_connections import missing_for_namespaces, outside_addresses, run_without_network
from running_server import ROOT

pytestmark = pytest.mark.slow

ASKING = """
import socket, urllib.request
for address in (("192.0.2.7", 80), ("127.0.0.1", 9)):
    try: socket.create_connection(address, timeout=1)
    except OSError: pass
"""
SUITE = ["tests/server/test_http.py", "tests/server/test_hot_reload.py::test_sighup_to_all_processes_ends_none"]


@pytest.fixture(autouse=True)
def needs_namespaces() -> None:
    missing = missing_for_namespaces()
    if missing:
        pytest.skip(missing)


def test_an_attempt_to_leave_is_seen(tmp_path: Path) -> None:
    done, outside = run_without_network([sys.executable, "-c", ASKING], tmp_path, timeout_s=60)
    assert done.returncode == 0, done.stderr
    assert outside == {"192.0.2.7"}


def test_real_servers_and_their_clients_leave_for_nowhere() -> None:
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", *SUITE]
    done, outside = run_without_network(command, ROOT, os.environ, timeout_s=400)
    assert done.returncode == 0, done.stdout.decode()[-3000:]
    assert b" passed" in done.stdout
    assert outside == set()


def test_addresses_are_read_from_what_the_kernel_says() -> None:
    lines = (
        '1 connect(3, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("10.0.0.2")}, 16) = -1 ENETUNREACH',
        '2 connect(3, {sa_family=AF_INET6, sin6_port=htons(443), inet_pton(AF_INET6, "2001:db8::1", &sin6_addr)}, 28)',
        '3 connect(3, {sa_family=AF_UNIX, sun_path="/run/x"}, 110) = 0',
        '4 connect(3, {sa_family=AF_INET, sin_port=htons(8000), sin_addr=inet_addr("127.0.0.1")}, 16) = 0',
        '5 sendto(3, "x", 1, 0, {sa_family=AF_INET6, inet_pton(AF_INET6, "::1", &sin6_addr)}, 28) = 1',
    )
    assert outside_addresses("\n".join(lines)) == {"10.0.0.2", "2001:db8::1"}
