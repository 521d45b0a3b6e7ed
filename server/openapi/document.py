"""The server's OpenAPI document. It holds no model's name, and of the settings only whether tokens are optional."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask

from server.auth import rule_of_view
from server.context import EXTENSION, ServerContext
from server.openapi.components import HEADERS, INFO, PATH_PARAMETERS, SECURITY, STATIC, TAGS
from server.openapi.problems import PROBLEMS, TOKEN, TRANSPORT
from server.openapi.writer import Key, Outline, check_described, write_document
from server.tokens import Scope

__all__ = ["build_document", "check_described"]


def build_document(app: Flask, version: str) -> dict[str, Any]:
    """The document as JSON values. version: of this install."""
    parts: ServerContext = app.extensions[EXTENSION]
    anonymous = parts.settings.allow_anonymous_loopback

    def key_of(endpoint: str, view: Callable[..., Any]) -> Key | None:
        scope = rule_of_view(endpoint, view)
        return None if scope is None else Key(scope.value, anonymous and scope is Scope.PREDICT)

    outline = Outline(
        INFO, TAGS, HEADERS, SECURITY, PATH_PARAMETERS, STATIC, key_of, PROBLEMS, always=TRANSPORT, closed=TOKEN
    )
    return write_document(app, version, outline)
