"""The two cookies of a session: its id, which no script can read, and the token that our page sends back itself."""

from __future__ import annotations

from flask import Response

from studio.access.guard import renewed_session, session_cookie_name
from studio.access.secrets import csrf_of
from studio.context import StudioContext, context

CSRF_COOKIE = "onsight_csrf"


def set_session(response: Response, parts: StudioContext, session_id: str) -> Response:
    secure = parts.settings.public_url.startswith("https:")
    age_s = int(parts.session_lifetime.total_seconds())
    response.set_cookie(
        session_cookie_name(parts), session_id, max_age=age_s, secure=secure, httponly=True, samesite="Strict"
    )
    response.set_cookie(CSRF_COOKIE, csrf_of(session_id), max_age=age_s, secure=secure, samesite="Strict")
    return response


def renew_session(response: Response) -> Response:
    """After each request: where the session was made to last longer, its cookies are too, unless the view set them."""
    session_id = renewed_session()
    if session_id is not None and "Set-Cookie" not in response.headers:
        set_session(response, context(), session_id)
    return response


def clear_session(response: Response, parts: StudioContext) -> Response:
    secure = parts.settings.public_url.startswith("https:")
    for name in (session_cookie_name(parts), CSRF_COOKIE):
        response.delete_cookie(name, secure=secure, samesite="Strict")
    return response
