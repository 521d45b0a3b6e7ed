"""What the client can never ask for is told at once, without a try; and no secret is told with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from onsight import AddressError, AsyncClient, Client, NoAnswer

CLIENTS: list[Any] = [Client, AsyncClient]


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize(
    "url",
    ["http://localhost:99999", "http://localhost:x", "http://[::1", "ftp://host", "host", "localhost:8000", "http://",
     "file:///etc/passwd", "http://host/a b", "http://host/\u00e9", "", None, 8000],
)  # fmt: skip
def test_an_address_that_is_none_is_refused_with_an_example(kind: Any, url: Any) -> None:
    with pytest.raises(AddressError, match="expected an address such as http://localhost:8000, found"):
        kind(url)


@pytest.mark.parametrize(
    "url", ["http://me:s3cret@host:80/", "http://host/?token=s3cret", "http://host/#s3cret", "http://s3cret@host"]
)
def test_a_secret_in_an_address_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(AddressError, match="expected an address") as caught:
        Client(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://localhost:8000/", "http://localhost:8000"),
        ("https://host/below/", "https://host/below"),
        ("http://[::1]:80", "http://[::1]:80"),
        ("http://bücher.example", "http://xn--bcher-kva.example"),
        ("http://h/api/predict/shop/goods/", "http://h/api/predict/shop/goods"),
        ("http://h/below/v1/predict/shop/goods", "http://h/below/api/predict/shop/goods"),
    ],
)
@pytest.mark.parametrize("kind", CLIENTS)
def test_a_client_shows_where_it_asks_but_not_its_token(kind: Any, url: str, shown: str) -> None:
    assert repr(kind(url, "onsight_secret")) == f"{kind.__name__}('{shown}')"


@pytest.mark.parametrize("name", ["my model", "é", "a/b/c", "", "a\nb", "..", "../health", "/x", "x/", ".x", "x" * 101])
def test_a_name_that_no_model_can_have_is_refused(name: str) -> None:
    with pytest.raises(AddressError, match="model: expected letters"):
        Client("http://localhost:1", model=name)
    with Client("http://localhost:1") as client, pytest.raises(AddressError, match="model: expected letters"):
        client.predict(b"x", model=name)


def test_a_model_is_named_once() -> None:
    with pytest.raises(AddressError, match=r"found it in the URL \(shop/goods\) and beside it"):
        Client("http://localhost:1/api/predict/shop/goods", model="other")


@pytest.mark.parametrize("token", ["to\nken", "tökén", "a\x00b", "to ken"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(AddressError, match="token: expected") as caught:
        Client("http://localhost:1", token)
    assert token not in str(caught.value)


def test_the_line_end_of_a_token_from_a_file_is_left_out() -> None:
    with Client("http://localhost:1", "token\n", model="m") as client, pytest.raises(NoAnswer) as caught:
        client.predict(b"")
    assert (caught.value.status, caught.value.code) == (None, "NO_ANSWER")


def test_a_certificate_that_is_none_is_refused_and_so_is_a_token_without_a_check(tmp_path: Path) -> None:
    (tmp_path / "text.pem").write_text("no certificate")
    for path in (tmp_path / "text.pem", str(tmp_path / "absent.pem")):
        with pytest.raises(AddressError, match="verify: expected a PEM file"):
            Client("https://localhost:1", verify=path)
    with pytest.raises(AddressError, match="anybody on the way could read the token"):
        Client("https://localhost:1", "token", verify=False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timeout_s": 0}, "timeout_s: expected seconds above 0, found 0"),
        ({"total_timeout_s": float("nan")}, "total_timeout_s: expected seconds above 0"),
        ({"retries": -1}, "retries: expected a whole number from 0, found -1"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Client("http://localhost:1", **options)


@pytest.mark.parametrize("top", [0, -1, True, 1.5, "3"])
@pytest.mark.parametrize("kind", CLIENTS)
def test_options_of_a_batch_are_refused_before_it_begins(kind: Any, top: Any) -> None:
    client = kind("http://localhost:1", model="m")
    with pytest.raises(ValueError, match="top: expected a whole number from 1"):
        client.predict_many([], top=top)
    with pytest.raises(ValueError, match="concurrency: expected a whole number from 1, found 0"):
        client.predict_many([], concurrency=0)
