"""What a log line looks like, whatever is in its fields."""

from __future__ import annotations

import json
import logging
from typing import Any

from server.logs import JsonFormatter, TextFormatter


def record(**fields: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": "bundle skipped", "levelname": "ERROR", **fields})


def test_no_field_breaks_the_line_or_reaches_the_terminal() -> None:
    line = TextFormatter().format(record(project="p\x1b[2J", bundle='a b\n"c".onsight', code="OK"))
    assert line.isprintable()
    assert line.endswith(r'bundle skipped project="p\u001b[2J" bundle="a b\n\"c\".onsight" code=OK')


def test_an_object_a_line() -> None:
    line = JsonFormatter().format(record(project="p\x1b[2J", bundle="a\nb"))
    assert line.isprintable()
    document = json.loads(line)
    assert (document["event"], document["project"], document["bundle"]) == ("bundle skipped", "p\x1b[2J", "a\nb")
