"""Every error a client sees, in one shape: RFC 9457 problem+json with a stable `code` and the request's id.

Details of our own making only: never a traceback, a path of this machine, a token or a file name. What is not foreseen
becomes a 500 that says nothing but the request's id, and the whole story goes to the log under that id.
"""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Annotated, NotRequired

from flask import Flask, Response, g, request
from pydantic import Field
from typing_extensions import TypedDict
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from bundle.errors import CorruptImage, EmptyImage, ImageError, ImageTooLarge, OnsightError, UnsupportedImage
from licenses.errors import LicenseError
from server.errors import (
    ChangeNotKept,
    EngineError,
    ModelNotLoaded,
    ModelsLoading,
    Overloaded,
    QueueFull,
    StillChanging,
    TokenStoreError,
    UnknownModel,
)

log = logging.getLogger("onsight.server")

MEDIA_TYPE = "application/problem+json"

StatusTable = tuple[tuple[type[OnsightError], HTTPStatus], ...]

# Most specific first. An image's bytes are counted before decoding, so ImageTooLarge here means pixels.
STATUS_OF: StatusTable = (
    (EmptyImage, HTTPStatus.BAD_REQUEST),
    (UnsupportedImage, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    (ImageTooLarge, HTTPStatus.UNPROCESSABLE_ENTITY),
    (CorruptImage, HTTPStatus.UNPROCESSABLE_ENTITY),
    (ImageError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (LicenseError, HTTPStatus.FORBIDDEN),
    (UnknownModel, HTTPStatus.NOT_FOUND),
    (ModelsLoading, HTTPStatus.SERVICE_UNAVAILABLE),
    (QueueFull, HTTPStatus.TOO_MANY_REQUESTS),
    (Overloaded, HTTPStatus.SERVICE_UNAVAILABLE),
    (ModelNotLoaded, HTTPStatus.CONFLICT),
    (StillChanging, HTTPStatus.GATEWAY_TIMEOUT),
    (ChangeNotKept, HTTPStatus.INSUFFICIENT_STORAGE),
)
RETRY_LATER = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
HTTP_DETAILS: dict[int, tuple[str, str]] = {
    400: ("BAD_REQUEST", "The request could not be understood."),
    404: ("NOT_FOUND", "There is nothing at this address."),
    405: ("METHOD_NOT_ALLOWED", "This address does not take this method; see the Allow header."),
    413: ("BODY_TOO_LARGE", "The request is larger than this server accepts."),
    415: ("UNSUPPORTED_MEDIA_TYPE", "The request's content type is not accepted here."),
    416: ("RANGE_INVALID", "The file is shorter than the range that was asked for."),
}


class ProblemDocument(TypedDict):
    """An error, as RFC 9457 has it, with a stable code."""

    type: Annotated[str, Field(description="the code as a URN")]
    title: Annotated[str, Field(description="the status in words")]
    status: int
    detail: Annotated[str, Field(description="what was expected, what was found, what to do; for people")]
    code: Annotated[str, Field(description="stable, for machines")]
    request_id: Annotated[str, Field(description="the log has the story under this id")]
    error: NotRequired[Annotated[str, Field(description="`detail` once more, for clients of /v2 alone")]]


class Problem(Exception):
    """An error answer on its way to the client.

    code: stable, for machines.  detail: for people; it is sent as it stands.  headers: added to the answer.
    """

    def __init__(self, status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = HTTPStatus(status)
        self.code = code
        self.detail = detail
        self.headers = headers or {}


def problem_document(status: HTTPStatus, code: str, detail: str, request_id: str) -> bytes:
    """The JSON bytes of one problem."""
    document: ProblemDocument = {
        "type": f"urn:onsight:problem:{code.lower().replace('_', '-')}",
        "title": status.phrase,
        "status": int(status),
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }
    return json.dumps(document, ensure_ascii=False).encode()


def problem_response(problem: Problem) -> Response:
    request_id = g.get("request_id", "")
    body = problem_document(problem.status, problem.code, problem.detail, request_id)
    if request.path.startswith("/v2/"):  # what clients of that protocol look for, beside our own fields
        body = json.dumps({"error": problem.detail, **json.loads(body)}, ensure_ascii=False).encode()
    g.problem_code = problem.code
    return Response(body, problem.status, problem.headers, content_type=MEDIA_TYPE)


def problem_of(error: Exception, request_id: str, more: StatusTable = ()) -> Problem:
    """The answer for an error; what only the operator can mend, and what nobody foresaw, keeps its text to the log.

    more: errors of the app itself, which come before those that all apps know.
    """
    if isinstance(error, Problem):
        return error
    if not isinstance(error, OnsightError):
        log.error("request failed unexpectedly", exc_info=error, extra={"request_id": request_id})
        return Problem(500, "INTERNAL", "The server failed; its log has the story under this request id.")
    for kind, status in (*more, *STATUS_OF):
        if isinstance(error, kind):
            headers = {"Retry-After": "1"} if status in RETRY_LATER else {}
            return Problem(status, error.code, str(error), headers)
    log.error("request failed", exc_info=error, extra={"request_id": request_id})
    if isinstance(error, TokenStoreError):
        return Problem(503, error.code, "Tokens cannot be checked at the moment; the server's log says why.")
    if isinstance(error, EngineError):
        return Problem(500, error.code, "The model failed on this image; the server's log says why.")
    return Problem(500, "INTERNAL", "The server failed; its log has the story under this request id.")


def register_problems(app: Flask, more: StatusTable = ()) -> None:
    """Make every error leave the app as a problem. more: as for `problem_of`."""

    @app.errorhandler(HTTPException)
    def on_http_error(error: HTTPException) -> Response:
        status = HTTPStatus(error.code or 500)
        code, detail = HTTP_DETAILS.get(int(status), (status.name, status.description or status.phrase))
        headers = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")}
        if isinstance(error, RequestEntityTooLarge):
            headers["Connection"] = "close"
        return problem_response(Problem(status, code, detail, headers))

    @app.errorhandler(Exception)
    def on_error(error: Exception) -> Response:
        return problem_response(problem_of(error, g.get("request_id", ""), more))
