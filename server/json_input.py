"""JSON from clients: an object, with no more values than the call can mean. Counted before anything is made of it.

An empty list is 3 bytes of JSON and 72 of memory, so a bound on bytes alone lets a request take gigabytes.
"""

from __future__ import annotations

import json
from typing import Any

MAX_VALUES = 1_000_000


def parse_object(data: bytes, max_values: int = MAX_VALUES) -> dict[str, Any] | None:
    """None for anything but an object of at most so many values; a comma within a text counts as one more."""
    if data.count(b",") + data.count(b"[") + data.count(b"{") > max_values:
        return None
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
