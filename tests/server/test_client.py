"""The Python client: against the real server, and against a scripted one that is busy, slow or broken."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from color_bundle import GREEN, RED
from running_server import Served, free_port

from onsight.client import Client, ClientError, pause_s

Script = list[tuple[int, dict[str, str], bytes]]


@contextmanager
def scripted(script: Script) -> Iterator[tuple[str, list[str]]]:
    """A server that gives these answers in turn; status 0 drops the connection. Yields its URL and what was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(self.path)
            status, headers, body = script.pop(0)
            if status == 0:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_model_is_found_by_its_own_address(served: Served) -> None:
    with Client(f"{served.server.url}/api/predict/shop/goods", served.token) as client:
        answer = client.predict(GREEN, top=1)
    assert (answer["project"], answer["model"], answer["labels"]) == ("shop", "goods", ["green"])
    assert len(answer["scores"]) == 1


def test_the_only_model_needs_no_name_and_several_do(served: Served, big_served: Served) -> None:
    with Client(big_served.server.url, big_served.token) as client:
        assert client.predict(RED)["labels"] == ["red"]
    with Client(served.server.url, served.token) as client, pytest.raises(ClientError, match="shop/goods"):
        client.predict(RED)


def test_a_refusal_carries_status_code_and_request_id(served: Served) -> None:
    with Client(served.server.url, "wrong", model="colours") as client, pytest.raises(ClientError) as caught:
        client.predict(RED)
    assert (caught.value.status, caught.value.code) == (401, "TOKEN_INVALID")
    assert caught.value.request_id
    with Client(served.server.url, served.token, model="colours") as client:
        with pytest.raises(ClientError) as caught:
            client.predict(b"no image")
        assert caught.value.code == "IMAGE_UNSUPPORTED"
        assert client.predict(RED)["labels"] == ["red"]


def test_a_busy_server_is_asked_again_when_it_says() -> None:
    pauses: list[float] = []
    script: Script = [
        (429, {"Retry-After": "3"}, b"{}"),
        (503, {}, b"{}"),
        (0, {}, b""),
        (200, {}, b'{"labels": ["a"]}'),
    ]
    with scripted(script) as (url, asked), Client(url, "t", model="m", sleep=pauses.append) as client:
        assert client.predict(b"x") == {"labels": ["a"]}
    assert pauses == [3.0, 0.5, 1.0]
    assert asked == ["/v1/predict/default/m"] * 4


def test_retries_end_with_the_servers_own_words() -> None:
    script: Script = [(503, {"Retry-After": "0"}, b'{"detail": "Loading.", "code": "MODELS_LOADING"}')] * 3
    with (
        scripted(script) as (url, _),
        Client(url, model="m", retries=2, sleep=lambda _: None) as client,
        pytest.raises(ClientError, match="Loading") as caught,
    ):
        client.predict(b"x")
    assert caught.value.status == 503


def test_a_redirect_is_not_followed() -> None:
    script: Script = [(302, {"Location": "http://evil.example/"}, b"")]
    with scripted(script) as (url, _), Client(url, "t", model="m") as client, pytest.raises(ClientError) as caught:
        client.predict(b"x")
    assert caught.value.status == 302


def test_a_server_that_is_not_there_is_named() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with Client(url, model="m", retries=1, sleep=lambda _: None) as client, pytest.raises(ClientError, match=url):
        client.predict(b"x")


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "http://", "http://user@host/", "file:///etc/passwd"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ClientError, match="expected an address"):
        Client(url)


def test_retry_after_is_a_number_or_a_date_and_is_bounded() -> None:
    noon = 1_767_355_200.0  # 2026-01-02 12:00 UTC
    date = "Fri, 02 Jan 2026 12:00:07 GMT"
    assert pause_s("2", 0) == 2.0
    assert pause_s("9999", 0) == 30.0
    assert pause_s(date, 0, lambda: noon) == 7.0
    assert pause_s(date, 0, lambda: noon + 60) == 0.0
    assert [pause_s(text, 2) for text in ("", "soon", "-1")] == [1.0, 1.0, 1.0]
