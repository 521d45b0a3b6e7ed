"""Both Python clients when the server is busy, restarts, breaks off, trickles, or is somebody else's; and over TLS."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from both_clients import Connect
from certificates import make_certificate
from color_bundle import GREEN, RED
from PIL import Image
from running_server import Install, Served, free_port, running
from scripted_server import Answer, scripted

import onsight.client.wire
from onsight import (
    CertificateRefused,
    Client,
    ClientError,
    NoAnswer,
    Refused,
    Unavailable,
    UnexpectedAnswer,
)

SCRIPT = Path(sys.executable).parent / "onsight"


def large_png() -> bytes:
    """Takes the server a good while to decode."""
    out = io.BytesIO()
    noise = np.random.default_rng(3).integers(0, 256, (1500, 1500, 3), np.uint8)
    Image.fromarray(noise).save(out, "PNG", compress_level=1)
    return out.getvalue()


@pytest.mark.slow
def test_a_full_queue_is_waited_for_and_every_image_gets_its_answer(
    connect: Connect, install: Install, tmp_path: Path
) -> None:
    install.add_bundle()
    token = install.add_token()
    image = large_png()
    with running(install, tmp_path, max_queue="1", threads="1", log_format="json", log_level="debug") as server:
        server.wait_for_status(200)
        client = connect(server.url, token)
        results = list(client.predict_many([image] * 6, concurrency=6))
        assert [result.error for result in results] == [None] * 6
        assert '"status": 429' in server.log
        assert '"status": 500' not in server.log


def test_a_busy_server_is_left_alone_for_as_long_as_it_says(connect: Connect) -> None:
    with scripted(Answer(429, {"Retry-After": "1"}, b"{}"), Answer(503, {"Retry-After": "1"}, b"{}")) as server:
        assert connect(server.url, model="m").predict(b"x").labels == ("a",)
    first, second, third = server.at_s
    assert second - first >= 1.0
    assert third - second >= 1.0


def test_an_end_without_an_answer_comes_in_time_and_says_when_to_return(connect: Connect) -> None:
    full = Answer(429, {"Retry-After": "60"}, b'{"detail": "Full.", "code": "QUEUE_FULL"}')
    with scripted(full) as server, pytest.raises(Unavailable, match="Full") as caught:
        connect(server.url, model="m", total_timeout_s=30.0).predict(b"x")
    assert (caught.value.status, caught.value.code, caught.value.retry_after_s) == (429, "QUEUE_FULL", 60.0)
    assert len(server.asked) == 1


@pytest.mark.slow
def test_a_batch_outlives_a_restart_of_the_server(connect: Connect, install: Install, tmp_path: Path) -> None:
    install.add_bundle()
    token, port = install.add_token(), free_port()
    with ExitStack() as stack:
        first = stack.enter_context(running(install, tmp_path, port=str(port)))
        first.wait_for_status(200)

        def images() -> Iterator[bytes]:
            for number in range(120):
                if number == 60:
                    assert first.stop() == 0
                    (tmp_path / "second").mkdir()
                    stack.enter_context(running(install, tmp_path / "second", port=str(port)))
                yield (RED, GREEN)[number % 2]

        client = connect(first.url, token, retries=200, total_timeout_s=300.0)
        results = list(client.predict_many(images(), concurrency=4))
    assert [result.prediction.labels for result in results] == [("red",), ("green",)] * 60


def test_a_connection_that_breaks_off_is_made_again(connect: Connect) -> None:
    with scripted(Answer(), Answer(drop=True), Answer(cut=True), Answer()) as server:
        client = connect(server.url, model="m")
        assert [client.predict(b"x").labels, client.predict(b"x").labels] == [("a",), ("a",)]
    assert len(server.asked) == 4
    with scripted(*[Answer(drop=True)] * 3) as server, pytest.raises(NoAnswer, match=r"broke off \(3 times\)"):
        connect(server.url, model="m", retries=2).predict(b"x")


def test_connections_are_kept(connect: Connect) -> None:
    with scripted() as server:
        client = connect(server.url, "onsight_token", model="m")
        for _ in range(10):
            client.predict(b"x")
        assert server.connections == 1
        list(client.predict_many([b"x"] * 200, concurrency=4))
    assert server.connections <= 4
    method, path, headers = server.asked[0]
    assert (method, path, headers["Authorization"]) == ("POST", "/v1/predict/default/m", "Bearer onsight_token")
    assert headers["Host"] == server.url.removeprefix("http://")


@pytest.mark.parametrize(
    "answer",
    [Answer(slow_s=0.1), Answer(cut=True, slow_s=0.1), Answer(slow_head=True, slow_s=0.1)],
    ids=["whole", "cut", "headers"],
)
def test_a_server_that_trickles_is_not_waited_for_longer_than_asked(connect: Connect, answer: Answer) -> None:
    with scripted(answer) as server, pytest.raises(NoAnswer, match=r"found: none within 0\.4 s"):
        connect(server.url, model="m", timeout_s=0.4, retries=0).predict(b"x")
    assert len(server.asked) == 1


def test_an_answer_without_end_is_not_read(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onsight.client.wire, "MAX_ANSWER_BYTES", 1000)
    with scripted(Answer(body=b"x" * 2000)) as server, pytest.raises(UnexpectedAnswer, match="at most 1000 bytes"):
        connect(server.url, model="m").predict(b"x")
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_what_it_leads_to_hears_nothing(connect: Connect, status: int) -> None:
    with scripted() as elsewhere:
        away = Answer(status, {"Location": f"{elsewhere.url}/v1/predict/default/m"}, b"")
        with scripted(away) as server, pytest.raises(UnexpectedAnswer, match="not followed") as caught:
            connect(server.url, "onsight_secret", model="m").predict(b"x")
    assert caught.value.status == status
    assert elsewhere.url in str(caught.value)
    assert (len(server.asked), elsewhere.asked) == (1, [])


def test_a_pause_ends_where_a_batch_does(connect: Connect) -> None:
    """One request is refused for good while others wait out a pause of 100 seconds."""
    wrong = Answer(401, {}, b'{"detail": "Wrong token.", "code": "TOKEN_INVALID"}')
    later = Answer(503, {"Retry-After": "100"}, b"{}")
    with scripted(later, later, later, wrong) as server:
        client = connect(server.url, model="m", total_timeout_s=10_000.0)
        with pytest.raises(Refused, match="Wrong token") as caught:
            list(client.predict_many([b"x"] * 4, concurrency=4))
    assert caught.value.code == "TOKEN_INVALID"


@pytest.mark.parametrize(
    "call", [lambda client: client.predict(b"x"), lambda client: list(client.predict_many([b"x"]))], ids=["one", "many"]
)
def test_closing_a_client_ends_the_pauses_of_other_threads(call: Callable[[Client], object]) -> None:
    caught: list[BaseException] = []
    with scripted(Answer(503, {"Retry-After": "100"}, b"{}")) as server:
        client = Client(server.url, model="m", total_timeout_s=10_000.0)

        def ask() -> None:
            try:
                call(client)
            except ClientError as error:
                caught.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        while not server.asked:
            thread.join(0.01)
        client.close()
        thread.join(60)
    assert [str(error) for error in caught] == [f"{server.url}: expected an open client, found it closed."]


def test_closing_a_client_ends_what_other_threads_wait_to_be_answered() -> None:
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            client.predict(RED)
        except ClientError as error:
            errors.append(error)

    with scripted(Answer(silent=True)) as server:
        client = Client(server.url, model="m", timeout_s=600, total_timeout_s=600)
        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        while not server.asked:
            assert thread.is_alive()
            time.sleep(0.01)
        client.close()
        thread.join(20)
        assert not thread.is_alive()
    assert "expected an open client, found it closed" in str(errors[0])


def test_the_token_is_in_no_log_no_error_and_no_text_of_an_object(
    connect: Connect, served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = "onsight_" + "secret" * 2
    texts = []
    with scripted(Answer(500, {}, b'{"detail": "No.", "code": "X"}'), Answer(drop=True)) as odd:
        for url in (odd.url, odd.url, served.server.url, "http://127.0.0.1:9"):
            client = connect(url, token, model="colours", retries=0)
            with pytest.raises(ClientError) as caught:
                client.predict(RED)
            shown = caught.getrepr(style="long")  # as a failing test shows it, with variables
            texts += [repr(client), str(client), repr(caught.value), str(vars(caught.value)), str(shown)]
    assert caplog.records  # of the connection pool
    assert token not in "\n".join([*texts, caplog.text])


# TLS with a certificate authority of one's own.


@pytest.fixture(scope="module")
def over_tls(new_install: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    """URL, token, and the folder with ours.pem, the authority behind the server's certificate, and with other.pem."""
    folder = tmp_path_factory.mktemp("tls")
    authority = make_certificate(folder, "ours", None)
    make_certificate(folder, "other", None)
    make_certificate(folder, "server", authority)
    install = new_install()
    install.add_bundle()
    token = install.add_token()
    tls = {"tls_certificate": str(folder / "server.pem"), "tls_key": str(folder / "server.key")}
    with running(install, folder, **tls) as server:
        url = f"https://127.0.0.1:{server.port}"
        with Client(url, verify=folder / "ours.pem") as client:
            client.wait_until_ready()
        yield url, token, folder


def test_an_authority_of_ones_own_is_trusted_where_it_is_given(
    connect: Connect, over_tls: tuple[str, str, Path]
) -> None:
    url, token, folder = over_tls
    for verify in (folder / "ours.pem", str(folder / "ours.pem")):
        assert connect(url, token, verify=verify).predict(RED).labels == ("red",)
        assert connect(url.replace("127.0.0.1", "localhost"), token, verify=verify).ready()
    results = list(connect(url, token, verify=folder / "ours.pem").predict_many([RED, GREEN] * 20))
    assert [result.prediction.labels for result in results] == [("red",), ("green",)] * 20
    assert connect(url, verify=False).ready()


@pytest.mark.parametrize("verify", [True, "other.pem"])
def test_another_certificate_is_refused_before_anything_is_sent(
    connect: Connect, over_tls: tuple[str, str, Path], verify: Any
) -> None:
    url, token, folder = over_tls
    client = connect(url, token, model="colours", verify=folder / verify if isinstance(verify, str) else verify)
    for call in (lambda: client.predict(RED), client.ready, client.wait_until_ready):
        with pytest.raises(
            CertificateRefused, match=r"expected a certificate .* Give the PEM file of the CA"
        ) as caught:
            call()
        assert caught.value.code == "CERTIFICATE"


def test_http_where_https_is_spoken_is_told_of(connect: Connect, over_tls: tuple[str, str, Path]) -> None:
    url, token, _ = over_tls
    with pytest.raises(Refused, match="This port speaks HTTPS alone"):
        list(connect(url.replace("https", "http"), token, model="m").predict_many([RED]))


def test_the_command_line_takes_the_authority_too(over_tls: tuple[str, str, Path], tmp_path: Path) -> None:
    url, token, folder = over_tls
    (tmp_path / "x.png").write_bytes(RED)

    def predict(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [SCRIPT, "predict", tmp_path, "--server", url, "--token", token, *options],
            capture_output=True, text=True, check=False, env={**os.environ, "ONSIGHT_HOME": str(tmp_path / "home")},
        )  # fmt: skip

    trusted = predict("--ca", str(folder / "ours.pem"))
    assert trusted.returncode == 0, trusted.stderr
    assert "x.png,red," in trusted.stdout
    refused = predict()
    assert refused.returncode == 1
    assert "expected a certificate that this machine trusts" in refused.stderr
    assert token not in refused.stderr
