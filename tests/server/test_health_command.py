"""`onsight health`: what a container's health check and an operator's script go by."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from running_server import Install, RunningServer, free_port, running, server_environment

SCRIPT = Path(sys.executable).parent / "onsight"


def health(install: Install, port: int, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = server_environment(install, port, **settings)
    return subprocess.run([SCRIPT, "health", *arguments], env=environment, capture_output=True, text=True, check=False)


def test_a_ready_server_is_found_through_the_environment_that_it_was_started_with(
    install: Install, tmp_path: Path
) -> None:
    install.add_bundle()
    install.add_token()
    with running(install, tmp_path, host="0.0.0.0") as server:  # as in a container
        server.wait_for_status(200)
        found = health(install, server.port, host="0.0.0.0")
        assert (found.returncode, found.stdout) == (0, "ready: 1 model\n"), found.stderr
        assert health(install, free_port(), f"http://127.0.0.1:{server.port}").returncode == 0


def test_bundles_that_do_not_serve_are_counted(install: Install, tmp_path: Path) -> None:
    install.add_bundle()
    (install.models / "bad.onsight").write_bytes(b"no bundle")
    with running(install, tmp_path) as server:
        server.wait_for_status(200)
        found = health(install, server.port)
        said = "ready: 1 model; 1 bundle failed: the server's log says why\n"
        assert (found.returncode, found.stdout) == (0, said), found.stderr


def test_an_empty_folder_is_remarked_in_the_log(install: Install, tmp_path: Path) -> None:
    with running(install, tmp_path) as server:
        end = time.monotonic() + 30
        while "no bundle serves yet" not in server.log:
            assert time.monotonic() < end, server.log
            time.sleep(0.1)


def test_a_server_that_speaks_tls_is_asked_over_tls(install: Install, tmp_path: Path) -> None:
    install.add_bundle()
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=elsewhere.example", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    tls = {"tls_certificate": str(certificate), "tls_key": str(key)}
    with running(install, tmp_path, **tls) as server:
        _wait_until_healthy(install, server, tls)


def test_no_server_or_one_that_drains_is_exit_code_1_with_one_line(install: Install, tmp_path: Path) -> None:
    port = free_port()
    nobody = health(install, port)
    assert nobody.returncode == 1
    assert nobody.stderr == (
        f"Error: http://localhost:{port}: expected an Onsight server, found: Connection refused. Is it running, and is"
        " this its address?\n"
    )
    install.add_bundle()
    with running(install, tmp_path, drain_s="60") as server:
        server.wait_for_status(200)
        server.process.terminate()
        server.wait_for_status(503)
        draining = health(install, server.port)
        assert draining.returncode == 1
        assert draining.stderr.endswith("expected it to be ready, found it draining.\n")
        server.process.send_signal(signal.SIGINT)  # and nobody waits for the rest


@pytest.mark.parametrize(
    ("arguments", "settings", "complaint"),
    [
        (["ftp://x"], {}, "server: expected an address such as http://localhost:8000, found 'ftp://x'."),
        (["localhost:8000"], {}, "server: expected an address such as http://localhost:8000, found 'localhost:8000'."),
        (["http://h:99999"], {}, "server: expected an address such as http://localhost:8000, found 'http://h:99999'."),
        ([], {"drain_s": "-1"}, "ONSIGHT_DRAIN_S: expected a value greater than or equal to 0, found '-1'."),
    ],
    ids=["another scheme", "no scheme", "no port", "a setting that is none"],
)
def test_a_wrong_address_or_setting_is_wrong_usage(
    install: Install, arguments: list[str], settings: dict[str, str], complaint: str
) -> None:
    found = health(install, free_port(), *arguments, **settings)
    assert found.returncode == 2
    assert found.stderr.splitlines()[-1] == f"Error: {complaint}"


def _wait_until_healthy(install: Install, server: RunningServer, tls: dict[str, str]) -> None:
    for _ in range(100):
        found = health(install, server.port, **tls)
        if found.returncode == 0:
            return
        assert server.process.poll() is None, server.log
    pytest.fail(found.stderr)
