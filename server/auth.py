"""Who may call what. Closed by default: a view without a declared rule stops the app from being made.

A token comes in `X-Auth-token` or `Authorization: Bearer`. Everything below /api and /v1 asks for one before it even
says that an address does not exist. Where the operator allows it, programs on this machine may predict without.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, Request, current_app, g, request

from server.context import context
from server.errors import ConfigurationError
from server.problems import Problem
from server.settings import ServerSettings
from server.tokens import Scope, TokenStore

View = TypeVar("View", bound=Callable[..., Any])
_RULE = "onsight_rule"
_PUBLIC = "public"
CLOSED_PREFIXES = ("/api", "/v1")
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="onsight"'}
# A request that carries one of these came through a proxy: its sender is not on this machine.
FORWARDING_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


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


def register_auth(app: Flask) -> None:
    """Check every request. Call after all routes stand: a view without a rule raises ConfigurationError."""
    for name, view in app.view_functions.items():
        if name != "static" and not hasattr(view, _RULE):
            raise ConfigurationError(f"view {name}: expected @public or @requires(scope), found neither.")

    @app.before_request
    def check() -> None:
        rule = _rule_of(request)
        if rule != _PUBLIC:
            _authorise(request, rule)


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
    closed = any(req.path == prefix or req.path.startswith(f"{prefix}/") for prefix in CLOSED_PREFIXES)
    return None if closed else _PUBLIC


def _authorise(req: Request, rule: Scope | str | None) -> None:
    presented = _presented_token(req)
    if presented is None:
        if rule in (Scope.PREDICT, None) and _anonymous_is_welcome(req):
            return
        raise Problem(
            401, "TOKEN_MISSING", "Send a token in the header X-Auth-token or Authorization: Bearer.", CHALLENGE
        )
    record = context().tokens.authenticate(presented)
    if record is None:
        raise Problem(401, "TOKEN_INVALID", "The token is not one of this server's. Check it, or ask for a new one.",
                      CHALLENGE)  # fmt: skip
    g.token_name = record.name
    if isinstance(rule, Scope) and rule not in record.scopes:
        raise Problem(403, "SCOPE_MISSING", f"This call needs a token of the scope {rule}.")


def _presented_token(req: Request) -> str | None:
    header = req.headers.get("X-Auth-Token", "").strip()
    if header:
        return header
    scheme, _, value = req.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return None


def _anonymous_is_welcome(req: Request) -> bool:
    """Allowed by the operator, and started by a program or our own page on this machine.

    The Host and Origin checks keep a foreign page in this machine's browser out (DNS rebinding, cross-site posts).
    """
    if not context().settings.allow_anonymous_loopback:
        return False
    if any(name in req.headers for name in FORWARDING_HEADERS):
        return False
    origin = req.headers.get("Origin")
    return (
        _is_loopback(req.remote_addr or "")
        and _is_loopback(_host_name(req.host))
        and (origin is None or origin == f"{req.scheme}://{req.host}")
        and req.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none")
    )


def _host_name(host: str) -> str:
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
