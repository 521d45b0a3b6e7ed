"""Who may call what. Closed by default: a view without a declared rule stops the app from being made.

A token comes in `X-Auth-token` or `Authorization: Bearer`. Everything below /api and /v1 asks for one before it even
says that an address does not exist. Where the operator allows it, programs on this machine may predict without.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from flask import Flask, Request, current_app, g, request
from werkzeug.exceptions import MethodNotAllowed

from server.context import ServerContext, context
from server.errors import ConfigurationError
from server.problems import Problem
from server.settings import ServerSettings
from server.tokens import Holder, Scope, TokenStore

View = TypeVar("View", bound=Callable[..., Any])
_RULE = "onsight_rule"
_PUBLIC = "public"
CLOSED_PREFIXES = ("/api", "/v1", "/v2")
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="onsight"'}
# A request that carries one of these came through a proxy: its sender is not on this machine.
FORWARDING_HEADERS = (
    "HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_REAL_IP", "HTTP_VIA",
)  # fmt: skip
Environ = Mapping[str, Any]


def public(view: View) -> View:
    """Anyone may call this view."""
    setattr(view, _RULE, _PUBLIC)
    return view


def requires(scope: Scope) -> Callable[[View], View]:
    """Only a token of this scope opens this view."""

    def mark(view: View) -> View:
        setattr(view, _RULE, scope)
        return view

    return mark


def rule_of_view(endpoint: str, view: Callable[..., Any]) -> Scope | None:
    """The scope that opens a view; None for one that is public."""
    rule = _PUBLIC if endpoint == "static" else getattr(view, _RULE)
    return None if rule == _PUBLIC else Scope(rule)


def register_auth(app: Flask) -> None:
    """Check every request. Call after all routes stand: a view without a rule raises ConfigurationError."""
    for name, view in app.view_functions.items():
        if name != "static" and not hasattr(view, _RULE):
            raise ConfigurationError(f"view {name}: expected @public or @requires(scope), found neither.")

    @app.before_request
    def check() -> None:
        rule = _rule_of(request)
        if rule != _PUBLIC:
            record = authorise(request.environ, rule, context())
            if record is not None:
                g.token_name = record.name


def check_safe_to_listen(settings: ServerSettings, tokens: TokenStore) -> None:
    """Refuse to be reachable from other machines while nothing guards the door. Raises ConfigurationError."""
    if settings.listens_on_loopback_only or tokens.list():
        return
    raise ConfigurationError(
        f"host {settings.host}: other machines could reach this server, and there is no token yet. Create one with"
        " `onsight token create NAME`, or listen on 127.0.0.1."
    )


def _rule_of(req: Request) -> Scope | str | None:
    """What the request needs; None: any valid token (an address below /api or /v1 that no view answers)."""
    if req.endpoint == "static":
        return _PUBLIC
    if req.endpoint is not None and req.routing_exception is None:
        rule: Scope | str = getattr(current_app.view_functions[req.endpoint], _RULE)
        return rule
    if isinstance(req.routing_exception, MethodNotAllowed) and _is_public(req, req.routing_exception):
        return _PUBLIC
    closed = any(req.path == prefix or req.path.startswith(f"{prefix}/") for prefix in CLOSED_PREFIXES)
    return None if closed else _PUBLIC


def _is_public(req: Request, refused: MethodNotAllowed) -> bool:
    """Whether the methods that the address does take are for everybody: then so is the word that this is none."""
    adapter = current_app.create_url_adapter(req)
    assert adapter is not None
    views = [adapter.match(method=method)[0] for method in refused.valid_methods or ()]
    return all(rule_of_view(name, current_app.view_functions[name]) is None for name in views)


def authorise(environ: Environ, rule: Scope | str | None, parts: ServerContext) -> Holder | None:
    """Who asks, and may they? environ: of WSGI.  rule: a scope, or None for any valid token.

    Returns the token's record, or None where a program on this machine needs none. Raises Problem (401, 403), or
    TokenStoreError.
    """
    presented = _presented_token(environ)
    if presented is None:
        if rule in (Scope.PREDICT, None) and parts.settings.allow_anonymous_loopback and _is_local(environ):
            return None
        raise Problem(
            401, "TOKEN_MISSING", "Send a token in the header X-Auth-token or Authorization: Bearer.", CHALLENGE
        )
    record = parts.tokens.authenticate(presented)
    if record is None:
        raise Problem(401, "TOKEN_INVALID", "The token is not one of this server's. Check it, or ask for a new one.",
                      CHALLENGE)  # fmt: skip
    if isinstance(rule, Scope) and rule not in record.scopes:
        raise Problem(403, "SCOPE_MISSING", f"This call needs a token of the scope {rule}.")
    return record


def _presented_token(environ: Environ) -> str | None:
    header: str = environ.get("HTTP_X_AUTH_TOKEN", "").strip()
    if header:
        return header
    scheme, _, value = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return str(value.strip())
    return None


def _is_local(environ: Environ) -> bool:
    """Started by a program or our own page on this machine.

    The Host and Origin checks keep a foreign page in this machine's browser out (DNS rebinding, cross-site posts).
    """
    if any(name in environ for name in FORWARDING_HEADERS):
        return False
    host, origin = environ.get("HTTP_HOST", ""), environ.get("HTTP_ORIGIN")
    return (
        _is_loopback(environ.get("REMOTE_ADDR", ""))
        and _is_loopback(_host_name(host))
        and (origin is None or origin == f"{environ['wsgi.url_scheme']}://{host}")
        and environ.get("HTTP_SEC_FETCH_SITE", "same-origin") in ("same-origin", "none")
    )


def _host_name(host: str) -> str:
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


@lru_cache(maxsize=256)
def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
