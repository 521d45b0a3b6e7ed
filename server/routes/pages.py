"""The page at `/`: drop an image, see the answer. It calls /v1 as any other client does, with the visitor's token."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from flask import Blueprint, Response, redirect, render_template, url_for
from werkzeug.wrappers import Response as BaseResponse

from server.auth import public
from server.context import context

pages = Blueprint("pages", __name__)


@pages.get("/")
@public
def index() -> str:
    parts = context()
    return render_template(
        "index.html",
        version=installed_version(),
        tokens_exist=bool(parts.tokens.list()),
        anonymous=parts.settings.allow_anonymous_loopback,
        max_image_bytes=parts.settings.max_image_bytes,
    )


@pages.get("/favicon.ico")
@public
def favicon() -> BaseResponse | Response:
    return redirect(url_for("static", filename="favicon.svg"), 301)


def installed_version() -> str:
    try:
        return version("onsight")
    except PackageNotFoundError:
        return ""
