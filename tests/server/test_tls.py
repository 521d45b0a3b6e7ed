"""HTTPS without a proxy: real certificates, real handshakes, clients that never finish one, and renewal."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from certificates import make_certificate
from color_bundle import GREEN, RED
from running_server import ROOT, START, Install, RunningServer, free_port, server_environment

from server.errors import ConfigurationError
from server.hosting.tls import Certificate, load_context

Serve = Callable[..., RunningServer]
V1 = "/v1/predict/default/colours"


def own_certificate(folder: Path, days: int = 100, password: bytes = b"") -> tuple[Path, Path]:
    make_certificate(folder, "server", None, days=days, password=password)
    return folder / "server.pem", folder / "server.key"


@pytest.fixture
def secure(install: Install, serve: Serve, tmp_path: Path) -> RunningServer:
    """A server that speaks TLS, with a certificate in the test's folder."""
    install.add_bundle()
    certificate, key = own_certificate(tmp_path)
    server = serve(tls_certificate=str(certificate), tls_key=str(key))
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", server.port)).close()
            return server
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.05)


def trusting(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=folder / "server.pem")


def ask(server: RunningServer, context: ssl.SSLContext, images: list[bytes], token: str) -> list[str]:
    """On one connection: the first label, or the problem's code, for each."""
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=30, context=context)
    found = []
    for image in images:
        connection.request("POST", V1, image, {"X-Auth-token": token})
        answer = connection.getresponse()
        document = json.loads(answer.read())
        found.append(document["labels"][0] if answer.status == 200 else document["code"])
    connection.close()
    return found


def certificate_in_use(server: RunningServer) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", server.port), 20) as plain, context.wrap_socket(plain) as client:
        return client.getpeercert(binary_form=True) or b""


def der(path: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(path.read_text())


@pytest.mark.slow
def test_clients_that_never_finish_a_handshake_harm_nobody(
    install: Install, secure: RunningServer, tmp_path: Path
) -> None:
    token, context = install.add_token(), trusting(tmp_path)
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"  # a ClientHello of 512 bytes begins so
    with ExitStack() as stack:
        for number in range(60):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", secure.port), timeout=20))
            slow.sendall(hello[: number % (len(hello) + 1)])  # some say nothing, some a little
        with ThreadPoolExecutor(8) as pool:
            images = [RED, GREEN, bytes(3_000_000)]
            answers = list(pool.map(lambda _: ask(secure, context, images, token), range(16)))
    assert answers == [["red", "green", "IMAGE_UNSUPPORTED"]] * 16
    assert "ERROR" not in secure.log


@pytest.mark.slow
def test_clients_that_break_off_in_a_handshake_end_no_worker(
    install: Install, secure: RunningServer, tmp_path: Path
) -> None:
    token, context = install.add_token(), trusting(tmp_path)
    assert ask(secure, context, [RED], token) == ["red"]
    booted = secure.log.count("Booting worker")
    for sent in (b"", b"\x16", b"\x16\x03\x01", b"\x16" + os.urandom(300), b"\x80\x2e\x01", os.urandom(2000)):
        for _ in range(10):
            client = socket.create_connection(("127.0.0.1", secure.port), timeout=20)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close by a reset
            client.sendall(sent)
            client.close()
    assert ask(secure, context, [RED], token) == ["red"]
    assert secure.log.count("Booting worker") == booted
    assert "Traceback" not in secure.log


@pytest.mark.slow
def test_plain_http_is_told_to_use_https_and_nothing_else(secure: RunningServer) -> None:
    for head in ("GET /health/live", f"POST {V1}", "GET /"):
        with socket.create_connection(("127.0.0.1", secure.port), timeout=20) as client:
            client.sendall(f"{head} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            answer = b"".join(iter(lambda: client.recv(10_000), b""))
        assert answer.startswith(b"HTTP/1.1 400 "), answer
        assert b"Connection: close" in answer
        document = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert document["code"] == "TLS_EXPECTED"
        assert "https://" in document["detail"]


@pytest.mark.slow
def test_only_tls_1_2_and_newer_are_spoken_and_an_answer_ends_as_tls_should(
    secure: RunningServer, tmp_path: Path
) -> None:
    offers = {ssl.TLSVersion.TLSv1_1: False, ssl.TLSVersion.TLSv1_2: True, ssl.TLSVersion.TLSv1_3: True}
    for version, accepted in offers.items():
        options = {ssl.TLSVersion.TLSv1_1: "-tls1_1", ssl.TLSVersion.TLSv1_2: "-tls1_2"}.get(version, "-tls1_3")
        found = subprocess.run(
            ["openssl", "s_client", "-quiet", "-connect", f"127.0.0.1:{secure.port}", options,
             "-cipher", "DEFAULT:@SECLEVEL=0", "-CAfile", tmp_path / "server.pem"],
            input=b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", capture_output=True, timeout=30,
        )  # fmt: skip
        assert (b'"live"' in found.stdout) is accepted, (version, found.stdout, found.stderr)
    context = trusting(tmp_path)
    with (
        socket.create_connection(("127.0.0.1", secure.port), 20) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as client,
    ):
        client.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(10_000), b""))  # raises where the end is not announced
    assert b'"live"' in answer


@pytest.mark.slow
def test_a_renewed_certificate_is_taken_up_and_a_broken_one_is_not(
    install: Install, secure: RunningServer, tmp_path: Path
) -> None:
    token = install.add_token()
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    before = der(certificate)
    assert certificate_in_use(secure) == before
    held = http.client.HTTPSConnection("127.0.0.1", secure.port, timeout=20, context=trusting(tmp_path))
    held.request("GET", "/health/live")
    assert held.getresponse().read()
    good = key.read_bytes(), certificate.read_bytes()
    for spoil in (lambda: certificate.write_bytes(good[1][:100]), key.unlink):
        spoil()  # type: ignore[no-untyped-call]
        end = time.monotonic() + 60
        while "certificate not renewed" not in secure.log:
            assert time.monotonic() < end
            time.sleep(0.05)
        assert certificate_in_use(secure) == before
    own_certificate(tmp_path)
    secure.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + 60
    while certificate_in_use(secure) != der(certificate):
        assert time.monotonic() < end, secure.log
        time.sleep(0.05)
    assert ask(secure, trusting(tmp_path), [RED], token) == ["red"]
    held.request("GET", "/health/live")  # the connection from before goes on
    assert held.getresponse().status == 200
    held.close()
    assert secure.log.count("Booting worker") == 1


def spoiled(folder: Path, how: str) -> tuple[Path, Path]:
    certificate, key = own_certificate(folder, password=b"secret" if how == "password" else b"")
    if how == "mismatch":
        (folder / "other").mkdir()
        _, key = own_certificate(folder / "other")
    elif how == "swapped":
        certificate, key = key, certificate
    elif how == "absent":
        key.unlink()
    elif how == "folder":
        key.unlink()
        key.mkdir()
    elif how == "DER":
        certificate.write_bytes(der(certificate))
    elif how == "cut":
        certificate.write_bytes(certificate.read_bytes()[:200])
    return certificate, key


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("mismatch", "found the key of another one"),
        ("swapped", "found what cannot be read"),
        ("absent", "No such file"),
        ("folder", "Is a directory"),
        ("DER", "expected a PEM file"),
        ("cut", "found what cannot be read"),
        ("password", "key without a password"),
    ],
)
def test_files_that_cannot_serve_are_named_with_what_is_wrong(how: str, told: str, tmp_path: Path) -> None:
    certificate, key = spoiled(tmp_path, how)
    with pytest.raises(ConfigurationError, match=told) as error:
        load_context(certificate, key)
    assert str(tmp_path) in str(error.value)


def test_a_certificate_that_ends_is_remarked_on_and_serves(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for days, remark in ((100, ""), (5, "certificate expires soon"), (-1, "certificate has expired")):
        caplog.clear()
        Certificate(*own_certificate(tmp_path, days=days))
        assert [record.message for record in caplog.records] == ([remark] if remark else [])


@pytest.mark.slow
def test_the_server_does_not_start_with_a_key_of_another_certificate(install: Install, tmp_path: Path) -> None:
    certificate, key = spoiled(tmp_path, "mismatch")
    environment = server_environment(install, free_port(), tls_certificate=str(certificate), tls_key=str(key))
    ended = subprocess.run(
        [sys.executable, "-c", START], cwd=ROOT, env=environment, capture_output=True, timeout=60, check=False
    )
    assert ended.returncode != 0
    assert b"found the key of another one" in ended.stderr
