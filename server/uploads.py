"""Take images out of a request: a raw or chunked body, a form's files, base64 in JSON. Bounded before it is read.

Never fetches a URL, never writes to disk, never looks at the file's name.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import IO, Any, NoReturn

from flask import Request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from server.json_input import parse_object
from server.problems import Problem

# What a form adds around its file: boundaries, headers, a few short fields.
FORM_OVERHEAD_BYTES = 64 * 1024
SPARE_FORM_PARTS = 8
MAX_NAME_CHARACTERS = 200
MAX_JSON_BYTES = 64 * 1024


class UploadRequest(Request):
    """Keeps a form's file in memory: it is bounded already, and the disk may be read-only."""

    def _get_file_stream(self, *_: Any, **__: Any) -> IO[bytes]:
        return BytesIO()


@dataclass(frozen=True, slots=True)
class Upload:
    """One image of a request. name: what the client calls it, "" where it does not."""

    name: str
    data: bytes


def read_image(request: Request, max_bytes: int) -> bytes:
    """The one image's bytes of a request, at most max_bytes, at least one.

    Raises Problem: 400 nothing there, 403 a URL in place of an image, 413 too large, 415 JSON that is no image.
    """
    if is_json(request):
        raise _json_refused(request)
    (upload,) = _read_plain(request, max_bytes, max_bytes + FORM_OVERHEAD_BYTES, max_images=1)
    return upload.data


def read_images(request: Request, max_bytes: int, max_request_bytes: int, max_images: int) -> tuple[list[Upload], bool]:
    """The images of a request, at least one, and whether the client asked in the plural.

    A raw body or a form's one file is one image; a form's files are many, and so is `{"images": [...]}`, each an object
    `{"name": ..., "data": base64}` or the base64 text alone; `{"image": base64}` is one.
    Raises Problem as `read_image` does, and 413 for more images than max_images.
    """
    if not is_json(request):
        uploads = _read_plain(request, max_bytes, max_request_bytes, max_images)
        return uploads, len(uploads) > 1
    document = read_json(request, max_request_bytes)
    if "url" in document:
        raise _url_refused()
    if ("image" in document) is ("images" in document):
        raise Problem(400, "JSON_INVALID", 'Expected {"image": base64} or {"images": [base64, ...]}.')
    if "image" in document:
        return [_decoded(document["image"], max_bytes)], False
    entries = document["images"]
    if not isinstance(entries, list) or not entries:
        raise Problem(400, "JSON_INVALID", "images: expected a list of at least one image.")
    if len(entries) > max_images:
        raise _too_many(max_images)
    return [_decoded(entry, max_bytes) for entry in entries], True


def is_json(request: Request) -> bool:
    return request.mimetype == "application/json" or request.mimetype.endswith("+json")


def read_json(
    request: Request, max_bytes: int = MAX_JSON_BYTES, *, empty: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The request's body as a JSON object. empty: what no body at all stands for. Raises Problem."""
    body = read_body(request, max_bytes)
    if not body and empty is not None:
        return empty
    document = parse_object(body)
    if document is None:
        raise Problem(400, "JSON_INVALID", "Expected a JSON object as the request's body.")
    return document


def read_body(request: Request, max_bytes: int) -> bytes:
    """The whole body as it is, at most max_bytes. Raises Problem."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(415, "UNSUPPORTED_MEDIA_TYPE", "Expected a body without compression. Send it as it is.")
    if request.content_length is not None and request.content_length > max_bytes:
        raise _body_too_large(max_bytes)
    request.max_content_length = max_bytes + 1  # Werkzeug cuts a chunked body off there without a word
    with _body_errors(_body_too_large(max_bytes)):
        data = request.get_data(cache=False)
    if request.content_length is not None and len(data) < request.content_length:
        raise _broken()
    if len(data) > max_bytes:
        raise _body_too_large(max_bytes)
    return data


def _read_plain(request: Request, max_bytes: int, max_form_bytes: int, max_images: int) -> list[Upload]:
    """A raw body, or a form's files."""
    form = request.mimetype == "multipart/form-data"
    limit = max_form_bytes if form else max_bytes
    if request.content_length is not None and request.content_length > limit:
        raise _too_large(max_bytes) if max_images == 1 or not form else _body_too_large(limit)
    request.max_content_length = limit + 1
    with _body_errors(_too_large(max_bytes)):
        uploads = _files(request, max_images) if form else [Upload("", request.get_data(cache=False))]
    length = request.content_length
    if not form and length is not None and len(uploads[0].data) < length:
        raise _broken()
    for upload in uploads:
        if len(upload.data) > max_bytes:
            raise _too_large(max_bytes)
        if not upload.data and not (form and len(uploads) > 1):
            _empty()
    return uploads


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


@contextlib.contextmanager
def _body_errors(too_large: Problem) -> Iterator[None]:
    try:
        yield
    except RequestEntityTooLarge as error:
        raise too_large from error
    except (OSError, ParseException, ClientDisconnected) as error:  # a broken chunk, or a client gone
        raise _broken() from error


def _files(request: Request, max_images: int) -> list[Upload]:
    files = [file for _, file in request.files.items(multi=True)]
    if not files or (max_images == 1 and len(files) > 1):
        wanted = "exactly one file" if max_images == 1 else "at least one file"
        raise Problem(400, "FORM_FILES", f"Expected {wanted} in the form, found {len(files)}.")
    if len(files) > max_images:
        raise _too_many(max_images)
    return [Upload((file.filename or "")[:MAX_NAME_CHARACTERS], file.read()) for file in files]


def _decoded(entry: Any, max_bytes: int) -> Upload:
    name, text = "", entry
    if isinstance(entry, dict):
        name, text = entry.get("name", ""), entry.get("data")
    if not isinstance(text, str) or not isinstance(name, str):
        raise Problem(400, "JSON_INVALID", 'images: expected base64 text, or {"name": text, "data": base64 text}.')
    if text.startswith("data:"):
        text = text.partition(",")[2]
    if len(text) > (max_bytes + 2) // 3 * 4:
        raise _too_large(max_bytes)
    try:
        return Upload(name[:MAX_NAME_CHARACTERS], base64.b64decode(text, validate=True))
    except ValueError as error:
        raise Problem(400, "JSON_INVALID", "images: expected base64 text, found other characters.") from error


def _json_refused(request: Request) -> Problem:
    try:
        document = read_json(request)
    except Problem:
        document = {}
    if "url" in document:
        return _url_refused()
    return Problem(
        415, "UNSUPPORTED_MEDIA_TYPE", "Expected an image as the request's body, found JSON. /v1/predict takes base64."
    )


def _url_refused() -> Problem:
    return Problem(
        403,
        "URL_FETCH_OFF",
        "This server does not fetch images from URLs. Send the image itself as the request's body.",
    )


def _too_many(max_images: int) -> Problem:
    return Problem(413, "TOO_MANY_IMAGES", f"Expected at most {max_images} images in one request. Send several.")


def _body_too_large(max_bytes: int) -> Problem:
    return Problem(
        413, "BODY_TOO_LARGE", f"Expected a request of at most {max_bytes} bytes. Send less at once.",
        {"Connection": "close"},
    )  # fmt: skip


def _too_large(max_bytes: int) -> Problem:
    return Problem(
        413,
        "IMAGE_TOO_MANY_BYTES",
        f"Expected an image of at most {max_bytes} bytes. Send a smaller one.",
        {"Connection": "close"},
    )
