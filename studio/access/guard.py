"""Who may call what. Closed by default: a view without a declared rule stops the app from being made.

A request is checked in this order, before its view runs: who asks (an API token, else the cookie of a session; 401),
whether a session's change comes from our own page (403), whether the project exists for them (404), whether they may
(403). Everything below /studio and /api asks who it is before it says that an address does not exist.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any, TypeVar

from flask import Flask, Request, current_app, g, request
from werkzeug.exceptions import MethodNotAllowed

from server.errors import ConfigurationError
from studio.access.audit import Actor
from studio.access.principal import Principal
from studio.access.privileges import PROJECT_PRIVILEGES, Privilege
from studio.access.secrets import csrf_of
from studio.access.sessions import find_session, note_visit
from studio.access.tokens import find_token, note_use
from studio.context import StudioContext, context
from studio.errors import Forbidden, Unauthorised
from studio.projects.store import Project, find_project

View = TypeVar("View", bound=Callable[..., Any])
_RULE = "onsight_studio_rule"
CLOSED_PREFIXES = ("/studio", "/api")
CSRF_HEADER = "X-CSRF-Token"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Rule:
    """open: to everybody.  by_session: no API token will do.  privilege: None where being somebody is enough."""

    open: bool = False
    by_session: bool = False
    privilege: Privilege | None = None

    @property
    def in_project(self) -> bool:
        return self.privilege in PROJECT_PRIVILEGES


def public(view: View) -> View:
    """Anyone may call this view."""
    return _marked(view, Rule(open=True))


def signed_in(view: View) -> View:
    """Any user may, also by a token of any scope."""
    return _marked(view, Rule())


def by_session(view: View) -> View:
    """Any user may, in a browser: what decides about the account itself is not for tokens."""
    return _marked(view, Rule(by_session=True))


def requires(privilege: Privilege) -> Callable[[View], View]:
    """Who has this privilege may: in the project that the address names, or of the install."""

    def mark(view: View) -> View:
        return _marked(view, Rule(privilege=privilege))

    return mark


def rule_of_view(endpoint: str, view: Callable[..., Any]) -> Rule:
    rule: Rule = getattr(view, _RULE)
    return rule


def register_guard(app: Flask) -> None:
    """Check every request. Call after all routes stand: a view without a rule raises ConfigurationError."""
    for rule in app.url_map.iter_rules():
        marked: Rule | None = getattr(app.view_functions[rule.endpoint], _RULE, None)
        if marked is None:
            raise ConfigurationError(f"view {rule.endpoint}: expected a rule such as @requires(...), found none.")
        if marked.in_project is not ("project" in rule.arguments):
            raise ConfigurationError(f"view {rule.endpoint}: {rule.rule} does not go with {marked.privilege}.")
    app.before_request(_check)


def principal() -> Principal:
    """Who asks; only within views that are not public."""
    found: Principal = g.principal
    return found


def project() -> Project:
    """The project that the address names; only within views that require a privilege in one."""
    found: Project = g.project
    return found


def actor() -> Actor:
    """Who asks, for the audit log."""
    known: Principal | None = g.get("principal")
    return Actor(
        None if known is None else known.user_id, (request.remote_addr or "")[:64], g.request_id, context().now()
    )


def renewed_session() -> str | None:
    """The id of the session, where this request made it last longer: so must its cookies."""
    renewed: str | None = g.get("renewed_session")
    return renewed


def session_cookie_name(parts: StudioContext) -> str:
    """Over TLS with the prefix that keeps other hosts of the domain from setting it."""
    return "__Host-onsight_session" if parts.settings.public_url.startswith("https:") else "onsight_session"


def _marked(view: View, rule: Rule) -> View:
    setattr(view, _RULE, rule)
    return view


def _check() -> None:
    rule = _rule_of(request)
    if rule.open:
        return
    parts = context()
    g.principal = who = _identify(request, parts)
    if who.session_id is not None and request.method not in SAFE_METHODS:
        _check_csrf(who.session_id)
    if rule.by_session and who.session_id is None:
        raise Forbidden("This call is for a signed-in browser; an API token cannot make it.", "SESSION_NEEDED")
    if rule.privilege is None:
        return
    if rule.in_project:
        _check_in_project(rule.privilege, who, parts)
    elif rule.privilege not in who.install_privileges:
        raise _refusal(rule.privilege, who)


def _check_in_project(privilege: Privilege, who: Principal, parts: StudioContext) -> None:
    with parts.database.reading() as connection:
        found = find_project(connection, (request.view_args or {})["project"], who)
    if privilege not in found.privileges & who.opened:
        raise _refusal(privilege, who)
    g.project = found


def _refusal(privilege: Privilege, who: Principal) -> Forbidden:
    if privilege not in who.opened:
        return Forbidden(f"This call needs a token whose scopes allow {privilege}.", "SCOPE_MISSING")
    return Forbidden(
        f"This call needs the privilege {privilege}. An owner or an admin can give it.", "PRIVILEGE_MISSING"
    )


def _rule_of(req: Request) -> Rule:
    """What the request needs; below a closed prefix also where no view answers."""
    if req.endpoint is not None and req.routing_exception is None:
        return rule_of_view(req.endpoint, current_app.view_functions[req.endpoint])
    if isinstance(req.routing_exception, MethodNotAllowed) and _is_public(req, req.routing_exception):
        return Rule(open=True)
    return Rule(open=not any(req.path == prefix or req.path.startswith(f"{prefix}/") for prefix in CLOSED_PREFIXES))


def _is_public(req: Request, refused: MethodNotAllowed) -> bool:
    adapter = current_app.create_url_adapter(req)
    assert adapter is not None
    views = [adapter.match(method=method)[0] for method in refused.valid_methods or ()]
    return all(rule_of_view(name, current_app.view_functions[name]).open for name in views)


def _identify(req: Request, parts: StudioContext) -> Principal:
    token = _presented_token(req)
    if token is not None:
        return _by_token(token, parts)
    session_id = req.cookies.get(session_cookie_name(parts))
    if session_id is None:
        raise Unauthorised("Sign in, or send an API token in X-Auth-token or Authorization: Bearer.", "SIGN_IN")
    now = parts.now()
    with parts.database.reading() as connection:
        found = find_session(connection, session_id, now)
    if found is None:
        raise Unauthorised("The session has ended. Sign in again.", "SESSION_ENDED")
    who, is_due = found
    if is_due:
        with parts.database.writing() as connection:
            note_visit(connection, session_id, now, parts.session_lifetime)
        g.renewed_session = session_id
    return who


def _by_token(token: str, parts: StudioContext) -> Principal:
    now = parts.now()
    with parts.database.reading() as connection:
        found = find_token(connection, token, now)
    if found is None:
        raise Unauthorised("The token is not, or no longer, one of this studio's.", "TOKEN_INVALID")
    who, due_id = found
    if due_id is not None:
        with parts.database.writing() as connection:
            note_use(connection, due_id, now)
    return who


def _presented_token(req: Request) -> str | None:
    header = req.headers.get("X-Auth-token", "").strip()
    if header:
        return header
    scheme, _, value = req.headers.get("Authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" and value.strip() else None


def _check_csrf(session_id: str) -> None:
    sent = request.headers.get(CSRF_HEADER, "")
    if not compare_digest(sent.encode("utf-8", "surrogatepass"), csrf_of(session_id).encode()):
        raise Forbidden(f"Send the session's `csrf_token` in the header {CSRF_HEADER}.", "CSRF_INVALID")
