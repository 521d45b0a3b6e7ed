"""The studio's OpenAPI document: what stands in it beside the descriptions of the views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask

from server.openapi.components import HEADERS
from server.openapi.describe import Schema
from server.openapi.writer import Key, Outline, write_document
from studio.access.guard import rule_of_view
from studio.database.metadata import PUBLIC_ID_LENGTH
from studio.routes.groups import TAGS
from studio.routes.problems import CLOSED, PROBLEMS, TRANSPORT

INFO: dict[str, Any] = {
    "title": "Onsight studio",
    "summary": "Label, train and understand image classifiers on your own machines.",
    "description": (
        "Every call is taken with and without a trailing slash. A browser keeps a session in a cookie and sends its"
        " `csrf_token` in `X-CSRF-Token` with every change; a program sends an API token in `X-Auth-token` or as"
        " `Authorization: Bearer`. Lists come page by page: send `next` as `after`. Errors are problem documents"
        " (RFC 9457) with a stable `code`."
    ),
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}
SECURITY: dict[str, Any] = {
    "token": {"type": "apiKey", "in": "header", "name": "X-Auth-token", "description": "an API token"},
    "bearer": {"type": "http", "scheme": "bearer", "description": "the same as `Authorization: Bearer`"},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "onsight_session",
        "description": "`POST /studio/v1/session`",
    },
}
_ID: Schema = {"type": "string", "pattern": "^[A-Za-z0-9]{1,32}$"}
_WHOLE_ID: Schema = {"type": "string", "pattern": f"^[A-Za-z0-9]{{{PUBLIC_ID_LENGTH}}}$"}
PATH_PARAMETERS: dict[str, tuple[str, str, Schema]] = {
    "project": ("The project's id.", "p3Wn8rTyKea", _ID),
    "user": ("The user's id.", "7kQmTz3vWpa", _ID),
    "token": ("The token's id.", "h4sTqXv9b2c", _ID),
    "dataset": ("The version's id.", "d8Kw3NvYpQa", _WHOLE_ID),
    "image": ("The image's id.", "m9Ls2VbXuRd", _WHOLE_ID),
    "job": ("The job's id; of a model, its training's.", "h4sTqXv9b2c", _WHOLE_ID),
    "label": ("The label's id.", "q5Zc7NfGhJt", _WHOLE_ID),
    "image_name": (
        "The image's name.",
        "1.jpg",
        {"type": "string", "minLength": 1, "maxLength": 500, "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]*$"},
    ),
}


def studio_document(app: Flask, version: str) -> dict[str, Any]:
    """The document as JSON values. version: of this install."""
    outline = Outline(
        INFO, TAGS, HEADERS, SECURITY, PATH_PARAMETERS, None, _key_of, PROBLEMS, always=TRANSPORT, closed=CLOSED
    )
    return write_document(app, version, outline)


def _key_of(endpoint: str, view: Callable[..., Any]) -> Key | None:
    rule = rule_of_view(endpoint, view)
    if rule.open:
        return None
    return Key("" if rule.privilege is None else rule.privilege.value, schemes=("session",) if rule.by_session else ())
