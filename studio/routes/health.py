"""Is it alive, does its database answer, and what can be asked of it."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from flask import Response, current_app
from sqlalchemy import text

from server.openapi.describe import Answer, Content, described
from studio.access.guard import public
from studio.context import context
from studio.routes.groups import Group
from studio.routes.outline import studio_document
from studio.routes.routes import Routes
from studio.routes.wire import JSON, Out

health = Routes("health", __name__)


class Health(Out):
    status: Literal["live", "ready"]


@health.get("/health/live")
@public
@described(Group.WATCH, "Is it alive?", example={"status": "live"})
def live() -> Health:
    """The process answers."""
    return Health(status="live")


@health.get("/health/ready")
@public
@described(Group.WATCH, "Does its database answer?", example={"status": "ready"})
def ready() -> Health:
    """Else 503."""
    with context().database.reading() as connection:
        connection.execute(text("SELECT 1"))
    return Health(status="ready")


@health.get("/openapi.json")
@public
@described(
    Group.WATCH, "This document", answers={200: Answer("OpenAPI 3.1.", (Content(JSON, {"type": "object"}),))}
)  # fmt: skip
def openapi() -> Response:
    """Of all calls, made from the types that they use."""
    made = current_app.extensions.setdefault("onsight_openapi", {})
    if "body" not in made:  # two threads may make it at once: it is the same
        made["body"] = json.dumps(studio_document(current_app, installed_version()), separators=(",", ":"))
    return Response(made["body"], content_type=JSON)


def installed_version() -> str:
    try:
        return version("onsight")
    except PackageNotFoundError:
        return ""
