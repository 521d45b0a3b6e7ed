"""What the client can never ask for is told at once, without a try."""

from __future__ import annotations

import pytest

from onsight.client import Client, ClientError


@pytest.mark.parametrize("url", ["http://localhost:99999", "http://localhost:x", "http://[::1", "ftp://host", "host"])
def test_an_address_that_is_none_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ClientError, match="expected an address such as"):
        Client(url)


@pytest.mark.parametrize("name", ["my model", "é", "a/b", "", "a\nb"])
def test_a_name_that_no_model_can_have_is_refused(name: str) -> None:
    with pytest.raises(ClientError, match="model: expected letters"):
        Client("http://localhost:1", model=name)
    with pytest.raises(ClientError, match="model: expected letters"):
        Client("http://localhost:1", project=name)


@pytest.mark.parametrize("token", ["to\nken", "tökén", "a\x00b"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(ClientError, match="token: expected") as caught:
        Client("http://localhost:1", token)
    assert token not in str(caught.value)


def test_the_line_end_of_a_token_from_a_file_is_left_out() -> None:
    with pytest.raises(ClientError, match="no answer") as caught:
        Client("http://localhost:1", "token\n", model="m", retries=0).predict(b"")
    assert caught.value.status is None
