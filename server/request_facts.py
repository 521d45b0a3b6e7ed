"""What is the same for every request, whichever way it takes: its id, its log line, the headers of its answer."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from time import monotonic, perf_counter
from typing import Any

log = logging.getLogger("onsight.request")

SECURITY_HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; form-action 'self';"
        " frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def request_id_of(environ: Mapping[str, Any]) -> str:
    """The client's own id where it is a plain one, else a new one."""
    given = environ.get("HTTP_X_REQUEST_ID", "")
    return given if _REQUEST_ID.fullmatch(given) else os.urandom(16).hex()


def queue_seconds(environ: Mapping[str, Any]) -> float:
    """How long the whole request has waited for a thread; 0 where nobody counts."""
    waited: float = getattr(environ.get("gunicorn.socket"), "queue_s", 0.0)
    return waited


def deadline_of(environ: Mapping[str, Any], timeout_s: float) -> float:
    """When nobody waits for an answer any more, by `time.monotonic`. timeout_s: from the request's arrival on."""
    return monotonic() - queue_seconds(environ) + timeout_s


def log_request(
    request_id: str, method: str, route: str, status: int, started: float, fields: Mapping[str, object],
    *, quiet: bool = False,
) -> None:  # fmt: skip
    """One line. route: the rule, not the address: what a client puts into an address is not for the log.

    started: of `perf_counter`.  quiet: at level debug.
    """
    level = logging.DEBUG if quiet else logging.INFO
    if not log.isEnabledFor(level):
        return
    log.log(
        level,
        "request",
        extra={
            "request_id": request_id,
            "method": method,
            "route": route,
            "status": status,
            "ms": round((perf_counter() - started) * 1e3, 1),
            **fields,
        },
    )
