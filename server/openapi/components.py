"""What the whole document of the server shares: its head, the names in addresses, headers and tokens."""

from __future__ import annotations

from typing import Any

from server.models.shelf import NAME, VERSION
from server.openapi.describe import BINARY, Answer, Content, Description, Group, Parameter, Schema

INFO: dict[str, Any] = {
    "title": "Onsight inference server",
    "summary": "Image classification on your own machines.",
    "description": (
        "Every call is taken with and without a trailing slash. Where a call needs a token, send it in the header"
        " `X-Auth-token` or as `Authorization: Bearer`; `onsight token create NAME --scope SCOPE` makes one. Errors are"
        " problem documents (RFC 9457) with a stable `code`."
    ),
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}

TAGS: list[dict[str, str]] = [
    {"name": Group.PREDICT, "description": "An image in, labels and scores out."},
    {"name": Group.MODELS, "description": "Which models there are, and everything about one."},
    {"name": Group.V2, "description": "What `tritonclient[http]` and KServe speak. A model of the project `default`"
     " goes by its name, one of another project by `project__name`."},
    {"name": Group.CHANGE, "description": "For operators: models by name, never by path; a token of the scope"
     " `admin`."},
    {"name": Group.WATCH, "description": "For load balancers, service managers and Prometheus."},
    {"name": Group.PAGES, "description": "What a browser shows, and this document."},
]  # fmt: skip

_NAME: Schema = {"type": "string", "pattern": f"^{NAME.pattern}$"}
_VERSION: Schema = {"type": "string", "pattern": f"^{VERSION.pattern}$"}
PATH_PARAMETERS: dict[str, tuple[str, str, Schema]] = {
    "project": ("The model's project: its folder below the models folder, or `default`.", "default", _NAME),
    "name": ("The model's name.", "trash", _NAME),
    "model": ("The model's name.", "trash", _NAME),
    "version": ("A version that serves; see `GET /v1/models`.", "1", _VERSION),
}

HEADERS: dict[str, Any] = {
    "X-Request-ID": {
        "description": "The request's own `X-Request-ID` where it has a plain one, else a new one; the log has it too.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
    "Allow": {
        "description": "The methods that the address takes.", "required": True, "schema": {"type": "string"},
    },
    "WWW-Authenticate": {
        "description": "`Bearer`.", "required": True, "schema": {"type": "string", "pattern": "^Bearer"},
    },
    "Retry-After": {
        "description": "Seconds to wait before the next try; absent where waiting does not help.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "ETag": {
        "description": "Send it as `If-None-Match` to ask whether anything has changed.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Location": {"description": "Where it is.", "required": True, "schema": {"type": "string"}},
}  # fmt: skip

SECURITY: dict[str, Any] = {
    "token": {"type": "apiKey", "in": "header", "name": "X-Auth-token", "description": "`onsight token create`"},
    "bearer": {"type": "http", "scheme": "bearer", "description": "The same token as `Authorization: Bearer`."},
}

IF_NONE_MATCH = Parameter("If-None-Match", "header", "The ETag of the copy that you have.", {"type": "string"})

STATIC = Description(
    Group.PAGES,
    "A file of the pages: style, script, icon",
    parameters=(
        Parameter("filename", "path", "The file's name.", {"type": "string", "pattern": "^[a-z]+[.](css|js|svg)$"},
                  "onsight.css"),
        IF_NONE_MATCH,
    ),
    answers={
        200: Answer(
            "The file.",
            tuple(Content(kind, BINARY) for kind in ("text/css", "text/javascript", "image/svg+xml")),
            ("ETag",),
        ),
        206: Answer("The part that the header Range asks for.", tuple(
            Content(kind, BINARY) for kind in ("text/css", "text/javascript", "image/svg+xml")
        )),
        304: Answer("Nothing has changed."),
    },
    problems=("RANGE_INVALID",),
)  # fmt: skip
