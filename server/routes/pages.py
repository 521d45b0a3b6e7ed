"""What a browser shows: `/`, to drop an image on and see the answer; `/docs`, every call with examples.

They call the server as any other client does, with the visitor's token. `/openapi.json` is what `/docs` is made of.
Both are the same for everybody, are made once a process, and are public: they hold what the source code holds, and no
model's name, label or file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from flask import Blueprint, Response, current_app, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from server.auth import public
from server.context import context
from server.openapi.components import IF_NONE_MATCH
from server.openapi.describe import TEXT, Answer, Content, Group, described
from server.openapi.document import build_document
from server.openapi.page import page_of

pages = Blueprint("pages", __name__)

MADE = "onsight.made"  # app.extensions: name -> (body, digest)
HTML = Content("text/html", TEXT)
UNCHANGED = Answer("Nothing has changed.", headers=("ETag",))


@pages.get("/")
@public
@described(Group.PAGES, "The page to drop images on", answers={200: Answer("The page.", (HTML,))})
def index() -> str:
    parts = context()
    return render_template(
        "index.html",
        version=installed_version(),
        tokens_exist=not parts.tokens.is_empty,
        anonymous=parts.settings.allow_anonymous_loopback,
        max_image_bytes=parts.settings.max_image_bytes,
    )


@pages.get("/docs")
@public
@described(
    Group.PAGES, "All calls, with examples",
    parameters=(IF_NONE_MATCH,),
    answers={200: Answer("The page.", (HTML,), ("ETag",)), 304: UNCHANGED},
)  # fmt: skip
def docs() -> Response:
    return _made_once("docs", lambda: _docs_page().encode(), "text/html; charset=utf-8")


@pages.get("/openapi.json")
@public
@described(
    Group.PAGES, "This document",
    parameters=(IF_NONE_MATCH,),
    answers={
        200: Answer("OpenAPI 3.1.", (Content("application/json", {"type": "object"}),), ("ETag",)), 304: UNCHANGED,
    },
)  # fmt: skip
def openapi() -> Response:
    return _made_once("openapi", lambda: json.dumps(_document(), separators=(",", ":")).encode(), "application/json")


@pages.get("/favicon.ico")
@public
@described(
    Group.PAGES, "The icon",
    answers={301: Answer("It lies with the other files.", (HTML,), ("Location",))},
)  # fmt: skip
def favicon() -> BaseResponse:
    return redirect(url_for("static", filename="favicon.svg"), 301)


def installed_version() -> str:
    try:
        return version("onsight")
    except PackageNotFoundError:
        return ""


def _document() -> dict[str, Any]:
    return build_document(current_app, installed_version())


def _docs_page() -> str:
    return render_template("docs.html", version=installed_version(), page=page_of(_document()))


def _made_once(name: str, make: Callable[[], bytes], content_type: str) -> Response:
    """The answer with its ETag, or 304 for a client that has it. Two threads may make it at once: it is the same."""
    made: dict[str, tuple[bytes, str]] = current_app.extensions.setdefault(MADE, {})
    if name not in made:
        body = make()
        made[name] = body, hashlib.sha256(body).hexdigest()[:32]
    body, digest = made[name]
    response = Response(body, content_type=content_type, headers={"Cache-Control": "no-cache"})
    response.set_etag(digest)
    response.make_conditional(request)
    return response
