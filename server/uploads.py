"""Take one image out of a request: a raw body, a chunked body, or the one file of a form. Bounded before it is read.

Never fetches a URL, never writes to disk, never looks at the file's name.
"""

from __future__ import annotations

import contextlib
import json
from io import BytesIO
from typing import IO, Any, NoReturn

from flask import Request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from server.problems import Problem

# What a form adds around its file: boundaries, headers, a few short fields.
FORM_OVERHEAD_BYTES = 64 * 1024
MAX_FORM_PARTS = 8
MAX_JSON_BYTES = 64 * 1024


class UploadRequest(Request):
    """Keeps a form's file in memory: it is bounded already, and the disk may be read-only."""

    def _get_file_stream(self, *_: Any, **__: Any) -> IO[bytes]:
        return BytesIO()


def read_image(request: Request, max_bytes: int) -> bytes:
    """The image's bytes, at most max_bytes, at least one.

    Raises Problem: 400 nothing there, 403 a URL in place of an image, 413 too large, 415 JSON that is no image.
    """
    form = request.mimetype == "multipart/form-data"
    limit = max_bytes + FORM_OVERHEAD_BYTES if form else max_bytes
    if request.content_length is not None and request.content_length > limit:
        raise _too_large(max_bytes)
    if request.mimetype == "application/json" or request.mimetype.endswith("+json"):
        raise _json_refused(request)
    request.max_content_length = limit + 1  # Werkzeug cuts a chunked body off there without a word: see below
    try:
        data = _only_file(request) if form else request.get_data(cache=False)
    except RequestEntityTooLarge as error:
        raise _too_large(max_bytes) from error
    except (OSError, ParseException, ClientDisconnected) as error:  # a broken chunk, or a client gone or silent
        raise _broken() from error
    if not form and request.content_length is not None and len(data) < request.content_length:
        raise _broken()
    if not data:
        _empty()
    if len(data) > max_bytes:  # a form's file, or a chunked body
        raise _too_large(max_bytes)
    return data


def read_raw(stream: IO[bytes], length: int, max_bytes: int) -> bytes:
    """A body of known length that is an image's bytes. Raises Problem as `read_image` does."""
    if length > max_bytes:
        raise _too_large(max_bytes)
    data = stream.read(length)
    if len(data) < length:
        raise _broken()
    return data or _empty()


def discard_body(stream: IO[bytes], max_bytes: int) -> None:
    """Read what is left of the body, at most max_bytes, so that the connection may be used again after a refusal."""
    with contextlib.suppress(Exception):  # a body that breaks off or is badly framed ends the connection
        while max_bytes > 0 and (part := stream.read(min(64 * 1024, max_bytes))):
            max_bytes -= len(part)


def _empty() -> NoReturn:
    raise Problem(400, "IMAGE_EMPTY", "Expected an image's bytes as the request's body, found none.")


def _broken() -> Problem:
    return Problem(400, "BODY_BROKEN", "The request's body broke off or is badly framed. Send it again.")


def _only_file(request: Request) -> bytes:
    files = [file for _, file in request.files.items(multi=True)]
    if len(files) != 1:
        raise Problem(400, "FORM_FILES", f"Expected exactly one file in the form, found {len(files)}.")
    data: bytes = files[0].read()
    return data


def _json_refused(request: Request) -> Problem:
    request.max_content_length = MAX_JSON_BYTES
    try:
        document = json.loads(request.get_data(cache=False))
    except (ValueError, RecursionError, RequestEntityTooLarge):
        document = None
    if isinstance(document, dict) and "url" in document:
        return Problem(
            403,
            "URL_FETCH_OFF",
            "This server does not fetch images from URLs. Send the image itself as the request's body.",
        )
    return Problem(415, "UNSUPPORTED_MEDIA_TYPE", "Expected an image as the request's body, found JSON.")


def _too_large(max_bytes: int) -> Problem:
    return Problem(
        413,
        "IMAGE_TOO_MANY_BYTES",
        f"Expected an image of at most {max_bytes} bytes. Send a smaller one.",
        {"Connection": "close"},
    )
