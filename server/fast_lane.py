"""The short way for the commonest request: one image as the raw body, and nothing unusual about it.

Flask takes every request; this takes the plain prediction before it, with the same checks in the same order by the same
functions, at a fifth of the cost. Whatever is unusual (a query, a form, JSON, a chunked body, an odd address) goes to
Flask untouched, so nothing is decided here that is not decided there; a test compares the two answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from time import perf_counter
from typing import Any
from wsgiref.types import StartResponse

from flask import Flask

from server.auth import authorise
from server.context import EXTENSION, ServerContext
from server.models.shelf import DEFAULT_PROJECT
from server.problems import MEDIA_TYPE, problem_document, problem_of
from server.request_facts import SECURITY_HEADERS, deadline_of, log_request, queue_seconds, request_id_of
from server.routes.answers import bare_scores, full_answer
from server.routes.predict import PRETRAINED_PROJECT
from server.tokens import Scope
from server.uploads import discard_body, read_raw

_NAME = r"([A-Za-z0-9][A-Za-z0-9._-]{0,99})"
_ADDRESS = re.compile(rf"/(?:(api|v1)/predict/{_NAME}/{_NAME}|api/pm-predict/{_NAME})/?")
_ROUTES = {"api": "/api/predict/<name:project>/<name:model>", "v1": "/v1/predict/<name:project>/<name:name>",
           None: "/api/pm-predict/<name:model>"}  # fmt: skip


class FastLane:
    """A WSGI application around the Flask one."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._parts: ServerContext = app.extensions[EXTENSION]

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "POST" or environ["QUERY_STRING"]:
            return self._app(environ, start_response)
        address = _ADDRESS.fullmatch(environ["RAW_URI"])
        length = environ.get("CONTENT_LENGTH", "")
        kind = environ.get("CONTENT_TYPE", "").lower()
        if address is None or not length.isdecimal() or "json" in kind or "multipart" in kind:
            return self._app(environ, start_response)
        started, request_id = perf_counter(), request_id_of(environ)
        fields: dict[str, object] = {}
        headers: list[tuple[str, str]] = []
        try:
            body = self._predict(environ, address, int(length), started, request_id, fields)
            status, media_type = "200 OK", "application/json"
        except Exception as error:
            problem = problem_of(error, request_id)
            body = problem_document(problem.status, problem.code, problem.detail, request_id)
            status, media_type = f"{problem.status.value} {problem.status.phrase}", MEDIA_TYPE
            headers = list(problem.headers.items())
            fields["problem_code"] = problem.code
            if "model" in fields:
                self._parts.metrics.failed(problem.code, str(fields["model"]), str(fields["version"]))
            discard_body(environ["wsgi.input"], self._parts.settings.max_image_bytes)
        headers += [
            *SECURITY_HEADERS, ("Cache-Control", "no-store"), ("X-Request-ID", request_id),
            ("Content-Type", media_type), ("Content-Length", str(len(body))),
        ]  # fmt: skip
        start_response(status, headers)
        self._parts.metrics.answered("POST", _ROUTES[address[1]], int(status[:3]))
        log_request(request_id, "POST", _ROUTES[address[1]], int(status[:3]), started, fields)
        return (body,)

    def _predict(
        self, environ: dict[str, Any], address: re.Match[str], length: int, started: float, request_id: str,
        fields: dict[str, object],
    ) -> bytes:  # fmt: skip
        parts = self._parts
        record = authorise(environ, Scope.PREDICT, parts)
        if record is not None:
            fields["token_name"] = record.name
        projects = (address[2],) if address[1] else (PRETRAINED_PROJECT, DEFAULT_PROJECT)
        with parts.registry.lease(projects, address[3] or address[4], wait_s=parts.settings.load_wait_s) as model:
            fields["model"], fields["version"] = model.label, model.manifest.version
            prediction = model.predict(
                read_raw(environ["wsgi.input"], length, parts.settings.max_image_bytes),
                deadline_of(environ, parts.settings.request_timeout_s),
            )
            queue_s = queue_seconds(environ)
            answer: Any = bare_scores(prediction)
            if address[1] == "v1":
                answer = full_answer(model, prediction, request_id, started, queue_s)
            parts.metrics.predicted(
                model, 1, queue_s, prediction.decode_ms, prediction.inference_ms, perf_counter() - started
            )
            return json.dumps(answer, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
