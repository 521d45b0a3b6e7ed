"""Make the studio's web application from its parts. Reads no environment, opens no file, starts no thread.

A request passes, in this order: its id, the address (nothing that could mean another), who asks and whether they may
(`studio.access.guard`), the view; on its way out: security headers, the rest of a refused body, one log line.
"""

from __future__ import annotations

import logging
import re
from time import perf_counter
from typing import Any
from urllib.parse import unquote

from flask import Flask, Response, g, request
from pydantic import BaseModel
from sqlalchemy.exc import OperationalError
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import BaseConverter

from server.openapi.writer import check_described
from server.problems import Problem, problem_response, register_problems
from server.request_facts import SECURITY_HEADERS, log_request, request_id_of
from server.uploads import discard_body
from studio.access.guard import register_guard
from studio.context import EXTENSION, StudioContext
from studio.database.metadata import PUBLIC_ID_LENGTH
from studio.pages import register_pages
from studio.predict.access import MODELS, asking
from studio.predict.inference_api import mount_inference_api
from studio.predict.opening import studio_models
from studio.routes.account import account
from studio.routes.cloud import cloud
from studio.routes.cloud_similarity import cloud_similarity
from studio.routes.cookies import renew_session
from studio.routes.datasets import datasets
from studio.routes.downloads import downloads
from studio.routes.health import health
from studio.routes.images import images
from studio.routes.jobs import jobs
from studio.routes.labelling import labelling
from studio.routes.labels import labels
from studio.routes.licenses import licenses
from studio.routes.models import models as model_figures
from studio.routes.predict import predict
from studio.routes.problems import STATUS_OF
from studio.routes.projects import projects
from studio.routes.recorded import recorded
from studio.routes.similarity import similarity
from studio.routes.tokens import tokens
from studio.routes.trainings import trainings
from studio.routes.trouble import trouble_of
from studio.routes.users import users
from studio.routes.wire import JSON

log = logging.getLogger("onsight.studio")

# What RFC 3986 lets stand in a part of a path; a percent sign begins an encoded character.
_PLAIN_ADDRESS = re.compile(r"(?:/(?:[A-Za-z0-9._~!$&'()*+,=:@-]|%[0-9A-Fa-f]{2})*)+")
# Decoded, these would mean another path, or another request: encoded twice, separators, parameters, control characters.
_DECEIVING = re.compile(r"[/\\%;?#\x00-\x1f\x7f]")


class IdConverter(BaseConverter):
    """A public id in an address, which no other word there is as long as."""

    regex = f"[A-Za-z0-9]{{{PUBLIC_ID_LENGTH}}}"
    part_isolating = True


class Studio(Flask):
    """Views answer with pydantic models, alone or with a status."""

    def make_response(self, rv: Any) -> Response:
        value, rest = (rv[0], rv[1:]) if isinstance(rv, tuple) else (rv, ())
        if isinstance(value, BaseModel):
            answer = Response(value.model_dump_json(), content_type=JSON)
            return super().make_response((answer, *rest) if rest else answer)
        return super().make_response(rv)


def create_app(parts: StudioContext) -> Flask:
    """The WSGI application."""
    app = Studio("studio", static_folder=None)
    app.extensions[EXTENSION] = parts
    app.config["MAX_CONTENT_LENGTH"] = parts.settings.max_upload_bytes
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.json.compact = True  # type: ignore[attr-defined]
    app.url_map.strict_slashes = False  # with and without: never a redirect, which would lose the body
    app.url_map.merge_slashes = False
    app.url_map.converters["id"] = IdConverter
    app.before_request(_begin)
    app.before_request(_refuse_unusual_addresses)
    for blueprint in (
        account, tokens, users, projects, images, labels, labelling, similarity, jobs, trainings, datasets,
        model_figures, recorded, predict, downloads, licenses, cloud, cloud_similarity, health,
    ):  # fmt: skip
        app.register_blueprint(blueprint)
    register_pages(app, parts.settings.pages_folder)
    register_guard(app)
    check_described(app)
    register_problems(app, STATUS_OF)
    app.extensions[MODELS] = models = studio_models(parts.settings, parts.database, asking)
    app.register_error_handler(OperationalError, _on_trouble)
    app.register_error_handler(OSError, _on_trouble)
    app.after_request(_finish)
    app.after_request(renew_session)
    mount_inference_api(app, parts, models)
    if parts.settings.trusted_proxies:
        hops = parts.settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=0, x_host=0)  # type: ignore[method-assign]
    return app


def _begin() -> None:
    g.request_id = request_id_of(request.environ)
    g.started = perf_counter()


def _refuse_unusual_addresses() -> None:
    """Judge the address as it was sent: what is decoded later (%2F, %5C, %2e) was meant to deceive someone."""
    raw = str(request.environ.get("RAW_URI", request.path)).partition("?")[0]
    parts = [unquote(part, errors="replace") for part in raw.split("/")]
    is_plain = _PLAIN_ADDRESS.fullmatch(raw) is not None and not any(
        part in (".", "..") or _DECEIVING.search(part) or "\ufffd" in part for part in parts
    )
    if not is_plain:
        raise Problem(400, "ADDRESS_INVALID", "The address holds characters, plain or encoded, that none here has.")


def _on_trouble(error: Exception) -> Response:
    return problem_response(trouble_of(error, g.request_id))


def _finish(response: Response) -> Response:
    for name, value in SECURITY_HEADERS:
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Request-ID"] = g.request_id
    if response.status_code == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="onsight"'
    if response.status_code >= 400:
        discard_body(request.environ["wsgi.input"], min(request.content_length or 0, 1024 * 1024))
    who = g.get("principal")
    log_request(
        g.request_id,
        request.method,
        request.url_rule.rule if request.url_rule else "-",
        response.status_code,
        g.started,
        {"user": who.public_id if who else None, **({"problem_code": g.problem_code} if "problem_code" in g else {})},
        quiet=request.endpoint in ("health.live", "health.ready") and response.status_code < 400,
    )
    return response
