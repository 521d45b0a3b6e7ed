"""Answers that need no application: the queue is full, the client fell silent, or what came is not HTTP.

They are problem documents like every other, and never repeat what was sent.
"""

from __future__ import annotations

import logging
import uuid
from enum import Enum
from http import HTTPStatus

from gunicorn.http import errors

from server.errors import DeadlineExceeded, QueueFull
from server.hosting.connection import Connection
from server.problems import MEDIA_TYPE, problem_document

log = logging.getLogger("onsight.server")


class Refusal(Enum):
    """status, code, detail, seconds to wait before the next try (0: none is due)."""

    QUEUE_FULL = (429, QueueFull.code, "More requests wait here than this server lets wait. Try again in a moment.", 1)
    DEADLINE_EXCEEDED = (503, DeadlineExceeded.code, "The request waited too long for its turn. Try again later.", 1)
    CLIENT_SILENT = (
        408,
        "CLIENT_SILENT",
        "The rest of the request did not come in time. Send it again.",
        0,
    )
    ADDRESS_TOO_LONG = (414, "HTTP_INVALID", "The request's address is longer than this server accepts.", 0)
    HEAD_TOO_LARGE = (431, "HTTP_INVALID", "The request's headers are larger than this server accepts.", 0)
    CODING_UNKNOWN = (501, "HTTP_INVALID", "The request's transfer coding is not one that this server knows.", 0)
    TLS_EXPECTED = (400, "TLS_EXPECTED", "This port speaks HTTPS alone. Begin the address with https://.", 0)
    NOT_HTTP = (400, "HTTP_INVALID", "The request is not HTTP that this server understands.", 0)
    FAILED = (500, "INTERNAL", "The server failed; its log has the story under this request id.", 0)

    @property
    def status(self) -> HTTPStatus:
        return HTTPStatus(self.value[0])

    @property
    def code(self) -> str:
        return self.value[1]


_REFUSAL_OF: tuple[tuple[type[Exception], Refusal], ...] = (
    (errors.InvalidResponseHeader, Refusal.FAILED),
    (errors.InvalidResponseHeaderName, Refusal.FAILED),
    (errors.LimitRequestLine, Refusal.ADDRESS_TOO_LONG),
    (errors.LimitRequestHeaders, Refusal.HEAD_TOO_LARGE),
    (errors.UnsupportedTransferCoding, Refusal.CODING_UNKNOWN),
    (errors.NoMoreData, Refusal.HEAD_TOO_LARGE),  # else the whole head would have been there
    (errors.ParseException, Refusal.NOT_HTTP),
)


def refusal_of(error: Exception) -> Refusal:
    """What a client is told of an error outside the application."""
    return next((refusal for kind, refusal in _REFUSAL_OF if isinstance(error, kind)), Refusal.FAILED)


def refuse(connection: Connection, refusal: Refusal, *, keep: bool, error: Exception | None = None) -> None:
    """Put the answer into the connection's outbox; log it where somebody should know.

    keep: whether the client may use the connection again.
    """
    _, code, detail, retry_after_s = refusal.value
    status = refusal.status
    request_id = uuid.uuid4().hex
    log.log(
        logging.ERROR if refusal is Refusal.FAILED else logging.DEBUG if retry_after_s else logging.INFO,
        "request refused",
        exc_info=error if refusal is Refusal.FAILED else None,
        extra={"request_id": request_id, "status": int(status), "problem_code": code},
    )
    body = problem_document(status, code, detail, request_id)
    retry = f"Retry-After: {retry_after_s}\r\n" if retry_after_s else ""
    head = (
        f"HTTP/1.1 {int(status)} {status.phrase}\r\nConnection: {'keep-alive' if keep else 'close'}\r\n"
        f"{retry}Content-Type: {MEDIA_TYPE}\r\nX-Request-ID: {request_id}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode("ascii") + body)
