"""Log lines: events with fields, as text for people or one JSON object a line for machines.

A line never holds an image's contents, a token, or a client's file name.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Literal

from gunicorn import glogging

# What every LogRecord has by itself; anything else came in through `extra=` and is a field of the event.
_NEEDS_QUOTES = re.compile(r'[\s"=\x00-\x1f]')  # a control character could rewrite what a terminal shows
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00Z INFO 4711 request method=POST status=200`"""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{_timestamp(record)} {record.levelname} {record.process} {record.getMessage()}"
        line += "".join(f" {name}={_plain(value)}" for name, value in _fields(record).items())
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, pid, event, then the event's fields."""

    def format(self, record: logging.LogRecord) -> str:
        document: dict[str, object] = {
            "time": _timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "event": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            document["traceback"] = self.formatException(record.exc_info)
        return json.dumps(document, ensure_ascii=False, default=str)


class GunicornLogger(glogging.Logger):  # type: ignore[misc]
    """Gunicorn's events in our format."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True
        self.error_log.setLevel(logging.NOTSET)


def configure_logging(log_format: Literal["text", "json"], level: str) -> None:
    """Send everything at or above `level` to stderr, in one format. Replaces what was configured before."""
    # No line says from which thread or line of code it came: finding out took half of a request's log line.
    logging._srcfile = None  # as the library's manual says, for speed
    logging.logThreads = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def _timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if _NEEDS_QUOTES.search(text) else text
