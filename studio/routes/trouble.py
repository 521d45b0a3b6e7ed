"""What the machine below does to a request: a full disk, a busy database. For whole answers and streams."""

from __future__ import annotations

import errno
import logging

from sqlalchemy.exc import OperationalError

from server.problems import Problem, problem_of
from studio.routes.problems import STATUS_OF

log = logging.getLogger("onsight.studio")

_FULL = ("database or disk is full", "No space left on device")  # SQLite; PostgreSQL


def trouble_of(error: Exception, request_id: str) -> Problem:
    """The problem that any error of a request is; what a database failed at was not changed, and may work next time."""
    if _is_full(error):
        log.error("no space left", extra={"request_id": request_id})
        return Problem(507, "STORAGE_FULL", "The disk is full. Nothing of this was kept.")
    if isinstance(error, OperationalError):
        log.error("database failed", exc_info=error, extra={"request_id": request_id})
        return Problem(
            503, "BUSY", "The database does not answer, or is busy. Nothing was changed.", {"Retry-After": "1"}
        )
    return problem_of(error, request_id, STATUS_OF)


def _is_full(error: Exception) -> bool:
    if isinstance(error, OperationalError):
        return any(text in str(error.orig) for text in _FULL)
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
