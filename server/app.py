"""Make the web application from its parts. Reads no environment, opens no file, starts no thread.

A request passes, in this order: its id, the address (no percent-encoding, no backslash), the token, the view; on its
way out: security headers, the rest of a refused body, one log line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from time import perf_counter

from flask import Blueprint, Flask, Response, g, request
from pydantic import BaseModel
from werkzeug.routing import BaseConverter

from server.auth import register_auth
from server.context import EXTENSION, ServerContext, context
from server.models.shelf import VERSION
from server.openapi.document import check_described
from server.problems import Problem, register_problems
from server.request_facts import SECURITY_HEADERS, log_request, request_id_of
from server.routes.admin import admin
from server.routes.health import health
from server.routes.licenses import licenses
from server.routes.metrics import metrics
from server.routes.pages import pages
from server.routes.predict import cloud
from server.routes.v1 import v1
from server.routes.v2 import v2
from server.routes.v2_infer import v2_infer
from server.uploads import FORM_OVERHEAD_BYTES, SPARE_FORM_PARTS, UploadRequest, discard_body

_PART = r"(?:[A-Za-z0-9._~+-]|%2[Bb])+"  # versions may hold a plus, which careful clients encode
PLAIN_ADDRESS = re.compile(rf"/(?:{_PART}(?:/{_PART})*/?)?")

EVERYTHING = (health, cloud, v1, v2, v2_infer, admin, licenses, metrics, pages)


class NameConverter(BaseConverter):
    """A project's or a model's name in an address: nothing that could be a path."""

    regex = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
    part_isolating = True


class VersionConverter(BaseConverter):
    """A model's version in an address."""

    regex = VERSION.pattern
    part_isolating = True


def create_app(parts: ServerContext, blueprints: Sequence[Blueprint] = EVERYTHING) -> Flask:
    """The WSGI application. It answers at once; predictions wait for the first models, which a keeper publishes.

    blueprints: which calls; another app that mounts this one may have no need of all.
    """
    settings = parts.settings
    app = Flask("server")
    app.request_class = UploadRequest
    app.extensions[EXTENSION] = parts
    app.config["MAX_CONTENT_LENGTH"] = max(settings.max_image_bytes + FORM_OVERHEAD_BYTES, settings.max_request_bytes)
    app.config["MAX_FORM_MEMORY_SIZE"] = FORM_OVERHEAD_BYTES
    app.config["MAX_FORM_PARTS"] = settings.max_images_per_request + SPARE_FORM_PARTS
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = None  # asked for again, by ETag: pages and scripts are of one version
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.json.compact = True  # type: ignore[attr-defined]
    app.json.default = _to_json  # type: ignore[attr-defined]
    app.url_map.strict_slashes = False  # with and without: never a redirect, which would lose the body
    app.url_map.merge_slashes = False
    app.url_map.converters["name"] = NameConverter
    app.url_map.converters["version"] = VersionConverter
    app.before_request(_begin)
    app.before_request(_refuse_unusual_addresses)
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    register_auth(app)
    check_described(app)
    register_problems(app)
    app.after_request(_finish)
    return app


def _to_json(value: object) -> object:
    """What is no JSON value by itself: parts of a manifest."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"expected a JSON value or a pydantic model, found {type(value).__name__}")


def _begin() -> None:
    g.request_id = request_id_of(request.environ)
    g.started = perf_counter()


def _refuse_unusual_addresses() -> None:
    """Judge the address as it was sent: what is decoded later (%2F, %5C, %2e) was meant to deceive someone."""
    raw = str(request.environ.get("RAW_URI", request.path)).partition("?")[0]
    if PLAIN_ADDRESS.fullmatch(raw) is None or any(part in (".", "..") for part in raw.split("/")):
        raise Problem(400, "ADDRESS_INVALID", "Addresses here are made of letters, digits, '.', '_', '-', '+' and '/'.")


def _finish(response: Response) -> Response:
    for name, value in SECURITY_HEADERS:
        response.headers.setdefault(name, value)
    if request.endpoint != "static":
        response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Request-ID"] = g.request_id
    if response.status_code >= 400:
        discard_body(request.environ["wsgi.input"], request.max_content_length or 0)
    route = request.url_rule.rule if request.url_rule else "-"
    parts = context()
    parts.metrics.answered(request.method if request.url_rule else "-", route, response.status_code)
    if "problem_code" in g and "model" in g:
        parts.metrics.failed(g.problem_code, g.model, g.version)
    log_request(
        g.request_id,
        request.method,
        route,
        response.status_code,
        g.started,
        {name: g.get(name) for name in ("token_name", "model", "version", "problem_code") if name in g},
        quiet=request.endpoint in ("static", "health.live", "health.ready") and response.status_code < 400,
    )
    return response
