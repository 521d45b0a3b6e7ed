"""Nobody gets in: every route with every method, without a token, with wrong ones, and by addresses that play tricks.

Over real HTTP, so that the short way of plain predictions is asked as well as Flask.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest
from color_bundle import RED
from running_server import Served, bare_app

from server.auth import rule_of_view
from server.tokens import Scope

# The whole list of what is open to everybody. Whatever is added here is a decision.
PUBLIC = {
    "static", "health.live", "health.ready", "v2.live", "v2.ready", "pages.index", "pages.favicon", "pages.docs",
    "pages.openapi",
}  # fmt: skip
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "BREW", "get")
THERE = {"project": "default", "name": "colours", "model": "colours", "version": "1", "filename": "onsight.css"}
V1 = "/v1/predict/default/colours"
APP = bare_app()


def addresses() -> Iterator[tuple[str, set[str], str]]:
    """Every route: its endpoint, its methods, and an address of it, with the names of what is there."""
    for rule in APP.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: THERE[found[1]], rule.rule)
        yield rule.endpoint, set(rule.methods or ()), path


CLOSED = [(methods, path) for endpoint, methods, path in addresses() if endpoint not in PUBLIC]


def test_the_public_views_are_these_and_no_others() -> None:
    assert {name for name, view in APP.view_functions.items() if rule_of_view(name, view) is None} == PUBLIC


@pytest.mark.parametrize("slash", ["", "/"])
def test_every_address_and_method_without_a_token_is_closed_or_public(served: Served, slash: str) -> None:
    asked = 0
    for endpoint, methods, path in addresses():
        for method in METHODS:
            for token in (None, "onsight_wrong"):
                reply = served.server.ask(method, path if path == "/" else path + slash, b"", token)
                asked += 1
                if method not in methods:
                    # below /api, /v1 and /v2 strangers do not even learn which methods there are
                    assert reply.status in (400, 401, 405), (method, path, reply.status)
                elif endpoint in PUBLIC:
                    assert reply.status in (200, 301, 404), (method, path, reply.status)
                else:
                    assert reply.status == 401, (method, path, reply.status)
                    assert reply.headers["WWW-Authenticate"].startswith("Bearer")
    assert asked >= 700


def test_every_address_and_method_is_closed_to_tokens_of_other_scopes(served: Served) -> None:
    refused = 0
    for endpoint, methods, path in addresses():
        needed = rule_of_view(endpoint, APP.view_functions[endpoint])
        for scope in Scope:
            if needed in (None, scope):
                continue
            for method in METHODS:
                reply = served.server.ask(method, path, b"", served.tokens[scope])
                if method in methods:
                    assert reply.status == 403, (method, path, scope, reply.status)
                    refused += 1
                else:
                    assert reply.status in (400, 405), (method, path, scope, reply.status)
    assert refused >= 100


def test_what_is_not_there_asks_for_a_token_before_it_says_so(served: Served) -> None:
    for path in (
        "/api",
        "/api/",
        "/v1",
        "/v1/absent",
        "/api/predict/default/colours/more",
        "/v1/models/a/b/c",
        "/v2/x",
    ):
        assert served.server.ask("GET", path).status == 401
        assert served.server.ask("GET", path, token=served.token).status == 404


def test_a_public_address_says_which_methods_it_takes_to_anybody(served: Served) -> None:
    for path in ("/v2/health/live", "/health/ready", "/docs"):
        reply = served.server.ask("DELETE", path)
        assert (reply.status, reply.json["code"]) == (405, "METHOD_NOT_ALLOWED")
        assert "GET" in reply.headers["Allow"]


def test_a_refused_change_changes_nothing(served: Served) -> None:
    for token in (None, "onsight_wrong", served.tokens[Scope.PREDICT], served.tokens[Scope.METRICS]):
        for path in ("/v1/models/default/colours/unload", "/v2/repository/models/colours/unload"):
            assert served.server.ask("POST", path, b"{}", token).status in (401, 403)
    assert served.server.ask("POST", V1, RED, served.token).status == 200


def raw(served: Served, method: str, target: str, *headers: str, body: bytes = b"") -> int:
    """The status of a request whose address no client library has touched; 0 where the connection just ends."""
    head = "\r\n".join([f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}", *headers])
    with socket.create_connection(("127.0.0.1", served.server.port), timeout=20) as client:
        client.sendall(head.encode("latin-1") + b"\r\nConnection: close\r\n\r\n" + body)
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    return int(answer.split(b" ", 2)[1]) if answer else 0


def tricks(path: str) -> list[str]:
    """Other ways to write an address: some servers, proxies and routers take them for the address itself."""
    rest, first = path[1:], f"{ord(path[1]):02x}"
    return [
        f"//{rest}", f"/.{path}", f"/./{rest}", f"/x/..{path}", f"/static/..{path}", f"/static..{path}", f"/\\{rest}",
        f"/health/live/../..{path}", f"/health/live/..;{path}", f"/health/live;{path}", f"/static\\..{path}",
        f"/%2e%2e{path}", f"/static/%2e%2e{path}", f"/static/%2e%2e%2f{rest}", f"/static/%252e%252e{path}",
        f"/static/..%5c{rest}", path.replace("/", "\\"), path.replace("/", "%2f"), path.upper(),
        f"/%{first}{rest[1:]}", f"/%25{first}{rest[1:]}", f"{path};/health/live", f"{path};.css", f"{path}%00.css",
        f"{path}%3f/health/live", f"{path}/..;/live", f"{path}#/health/live", f"{path}?/../../health/live",
        f"{path}/%2e", f"{path}/.", f"{path}//", f"{path}\t", f"{path}\u00a0", f"http://127.0.0.1{path}",
        f"http://127.0.0.1/health/live/..{path}",
    ]  # fmt: skip


def test_no_way_to_write_an_address_opens_it_without_a_token(served: Served) -> None:
    asked = 0
    for methods, path in CLOSED:
        method = "POST" if "POST" in methods else "GET"
        for target in tricks(path):
            status = raw(served, method, target, body=RED if "predict" in path else b"{}")
            asked += 1
            assert status in (0, 400, 401, 404, 405, 414), (method, target, status)
            if target.partition("?")[0] == path:  # it is the address itself
                assert status == 401, (method, target, status)
    assert asked >= 800


def test_no_way_to_write_an_address_opens_it_with_a_token_of_another_scope(served: Served) -> None:
    for path in ("/v1/models/default/colours/unload", "/metrics", "/v2/repository/index"):
        method = "GET" if path == "/metrics" else "POST"
        for target in tricks(path):
            status = raw(served, method, target, f"X-Auth-token: {served.token}", body=b"{}")
            assert status in (0, 400, 403, 404, 405), (method, target, status)
    assert served.server.ask("POST", V1, RED, served.token).status == 200


@pytest.mark.parametrize(
    "header",
    [
        "X_Auth_token: {token}",  # becomes the same name in CGI's and WSGI's world
        "X-Original-URL: /health/live",
        "X-Rewrite-URL: /health/live",
        "X-HTTP-Method-Override: OPTIONS",
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-User: admin",
        "Remote-User: admin",
        "Authorization: Basic {token}",
        "Authorization: Bearer",
        "Authorization: {token}",
        "Cookie: X-Auth-token={token}; token={token}",
        "X-Auth-token: {token}, {token}",
        "X-Auth-token: {token}\r\nX-Auth-token: {token}",
    ],
)
@pytest.mark.parametrize("target", [V1, f"{V1}?top=1", "/v1/models"])
def test_no_other_header_stands_for_a_token(served: Served, target: str, header: str) -> None:
    method = "GET" if target == "/v1/models" else "POST"
    assert raw(served, method, target, header.format(token=served.token), body=RED) in (400, 401), header


def test_a_token_in_the_address_is_none(served: Served) -> None:
    for name in ("token", "X-Auth-token", "access_token", "api_key"):
        assert served.server.ask("POST", f"{V1}?{name}={served.token}", RED).status == 401


def test_addresses_that_try_to_be_paths_are_refused_to_those_who_may_ask_too(served: Served) -> None:
    names = [
        "..", ".", "%2e%2e", "a%2Fb", "a%5Cb", "a\\b", "%252e", "a;b", "a%00", "..%2f..%2fetc%2fpasswd", "a//b", "_",
    ]  # fmt: skip
    for name in names:
        for path in (f"/api/predict/default/{name}", f"/v1/models/{name}/colours", f"/static/{name}"):
            reply = served.server.ask("GET" if "models" in path else "POST", path, b"x", served.token)
            assert reply.status in (400, 404, 405), (path, reply.status)
    for path in ("/static/../app.py", "/static/..%2fapp.py", "/static../app.py", "/static/../../etc/passwd"):
        assert served.server.ask("GET", path).status in (400, 404)
    reply = served.server.ask("GET", "/v1/models/default%2Fcolours", token=served.token)
    assert (reply.status, reply.json["code"]) == (400, "ADDRESS_INVALID")
