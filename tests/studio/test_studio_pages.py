"""The pages' files over HTTP: what a browser gets at every address, and what nobody gets."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from server.request_facts import SECURITY_HEADERS
from studio.pages import register_pages

HTML = {"Accept": "text/html,application/xhtml+xml"}
SCRIPT = b"export const words = 'a script that is long enough to be compressed';\n" * 40


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    build = tmp_path / "dist"
    (build / "assets").mkdir(parents=True)
    (build / "index.html").write_text('<meta name="csp-nonce" content="__NONCE__"><div id="root"></div>')
    (build / "assets" / "index-AbC123.js").write_bytes(SCRIPT)
    (build / "manifest.webmanifest").write_text('{"name": "Onsight"}')
    (tmp_path / "secret.txt").write_text("nobody's business")
    (build / ".built").write_text("nobody's business either")
    (build / "assets" / "link.js").symlink_to(tmp_path / "secret.txt")
    return _client(build)


def _client(build: Path) -> FlaskClient:
    app = Flask("pages", static_folder=None)
    register_pages(app, build)

    @app.after_request
    def finish(response):  # type: ignore[no-untyped-def]
        for name, value in SECURITY_HEADERS:
            response.headers.setdefault(name, value)
        return response

    return app.test_client()


@pytest.mark.parametrize("address", ["/", "/setup", "/p/p3Wn8rTyKea/images", "/admin/users"])
def test_every_address_of_the_pages_is_the_one_document(client: FlaskClient, address: str) -> None:
    answer = client.get(address, headers=HTML)
    assert answer.status_code == 200
    assert answer.content_type == "text/html; charset=utf-8"
    assert b'id="root"' in answer.data


def test_styles_need_a_nonce_that_no_two_answers_share(client: FlaskClient) -> None:
    nonces = set()
    for _ in range(2):
        answer = client.get("/", headers=HTML)
        (nonce,) = re.findall(r"style-src 'self' 'nonce-([\w-]+)'", answer.headers["Content-Security-Policy"])
        assert f'content="{nonce}"' in answer.text
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        nonces.add(nonce)
    assert len(nonces) == 2


def test_a_file_whose_name_changes_with_its_content_is_kept_for_ever_and_travels_compressed(
    client: FlaskClient,
) -> None:
    plain = client.get("/assets/index-AbC123.js")
    packed = client.get("/assets/index-AbC123.js", headers={"Accept-Encoding": "gzip"})
    assert plain.data == gzip.decompress(packed.data) == SCRIPT
    assert "immutable" in plain.headers["Cache-Control"]
    assert len(packed.data) < len(plain.data) / 2
    assert packed.headers["Vary"] == "Accept-Encoding"
    again = client.get("/assets/index-AbC123.js", headers={"If-None-Match": plain.headers["ETag"]})
    assert again.status_code == 304
    assert again.data == b""


def test_the_document_and_the_manifest_are_asked_for_again(client: FlaskClient) -> None:
    assert client.get("/", headers=HTML).headers["Cache-Control"] == "no-cache"
    manifest = client.get("/manifest.webmanifest")
    assert manifest.headers["Cache-Control"] == "no-cache"
    assert manifest.content_type.startswith("application/manifest+json")


@pytest.mark.parametrize(
    "address",
    ["/studio/v1/nothing", "/api/nothing", "/v1/nothing", "/v2/nothing", "/health/nothing", "/assets/nothing.js"],
)
def test_a_wrong_address_of_a_program_is_no_page(client: FlaskClient, address: str) -> None:
    assert client.get(address, headers=HTML).status_code == 404


def test_nothing_beside_the_build_is_read(client: FlaskClient) -> None:
    for address in (
        "/.built",
        "/assets/link.js",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/assets/..%2f..%2fsecret.txt",
    ):
        assert b"business" not in client.get(address, headers=HTML).data


def test_only_looking_is_answered(client: FlaskClient) -> None:
    assert client.post("/", headers=HTML).status_code == 404
    head = client.head("/", headers=HTML)
    assert head.status_code == 200
    assert head.data == b""


def test_without_a_build_the_first_address_says_what_to_do(tmp_path: Path) -> None:
    answer = _client(tmp_path / "nothing").get("/", headers=HTML)
    assert "make web" in answer.text
