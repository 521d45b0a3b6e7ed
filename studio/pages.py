"""The pages: files that were built once, and one document that answers every address that a person may open in them.

They hold what the source code holds and are public. They are no calls of the API: a hook answers them before the guard
asks who it is, and leaves every other request alone. Nothing outside the folder's files at the start is ever read.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from flask import Flask, Response, request

INDEX: Final = "index.html"
BUILT: Final = Path(__file__).parent / "web" / "dist"
# Addresses of programs: there a wrong one is a problem document, never a page.
_PROGRAMS: Final = ("/studio", "/api", "/v1", "/v2", "/health", "/metrics", "/openapi.json", "/assets")
_NONCE: Final = b"__NONCE__"
_SMALLEST_COMPRESSED: Final = 1024
_IMMUTABLE: Final = "public, max-age=31536000, immutable"
_POLICY: Final = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' blob: data:;"
    " media-src 'self' blob:; connect-src 'self'; worker-src 'self'; manifest-src 'self'; object-src 'none';"
    " base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_NOT_BUILT: Final = (
    "The studio's API answers here, but its pages are not built. `make web` in the repository builds them; an installed"
    " package has them.\n"
)
mimetypes.add_type("application/manifest+json", ".webmanifest")
mimetypes.add_type("text/javascript", ".js")


@dataclass(frozen=True)
class PageFile:
    """body: the whole file.  hashed: its name changes with its content, so that it can be kept for ever."""

    body: bytes
    media_type: str
    hashed: bool

    @cached_property
    def etag(self) -> str:
        return hashlib.sha256(self.body).hexdigest()[:32]

    @cached_property
    def compressed(self) -> bytes | None:
        """None where it is not worth it."""
        if len(self.body) < _SMALLEST_COMPRESSED or self.media_type.startswith(("image/png", "font/")):
            return None
        return gzip.compress(self.body, 9, mtime=0)


def register_pages(app: Flask, folder: Path | None = None) -> None:
    """Answer the pages of `folder`, a build of studio/web. Call before the guard is registered."""
    files = _read(folder or BUILT)
    index = files.pop(f"/{INDEX}", None)

    def answer() -> Response | None:
        if request.method not in ("GET", "HEAD") or request.endpoint is not None:
            return None
        found = files.get(request.path)
        if found is not None:
            return _file(found)
        if any(request.path == prefix or request.path.startswith(f"{prefix}/") for prefix in _PROGRAMS):
            return None
        if index is None:
            return Response(_NOT_BUILT, content_type="text/plain; charset=utf-8") if request.path == "/" else None
        return _document(index) if "text/html" in request.headers.get("Accept", "") or request.path == "/" else None

    app.before_request(answer)


def _read(folder: Path) -> dict[str, PageFile]:
    if not folder.is_dir():
        return {}
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
            address = "/" + path.relative_to(folder).as_posix()
            media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            found[address] = PageFile(path.read_bytes(), media_type, address.startswith("/assets/"))
    return found


def _file(file: PageFile) -> Response:
    response = Response(content_type=_with_charset(file.media_type))
    response.headers["Cache-Control"] = _IMMUTABLE if file.hashed else "no-cache"
    if file.compressed is not None:
        response.headers["Vary"] = "Accept-Encoding"
    if file.compressed is not None and request.accept_encodings["gzip"] > 0:
        response.headers["Content-Encoding"] = "gzip"
        response.set_data(file.compressed)
        response.set_etag(f"{file.etag}-gzip")
    else:
        response.set_data(file.body)
        response.set_etag(file.etag)
    return response.make_conditional(request)  # type: ignore[return-value]


def _document(index: PageFile) -> Response:
    """With a nonce of its own, which the page hands to whatever writes styles."""
    nonce = secrets.token_urlsafe(18)
    response = Response(index.body.replace(_NONCE, nonce.encode()), content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = _POLICY.format(nonce=nonce)
    response.headers["Permissions-Policy"] = "camera=(self), microphone=(), geolocation=()"
    response.headers["Cache-Control"] = "no-cache"
    return response


def _with_charset(media_type: str) -> str:
    is_text = media_type.startswith("text/") or media_type.endswith(("json", "svg+xml"))
    return f"{media_type}; charset=utf-8" if is_text else media_type
