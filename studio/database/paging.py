"""Pages by key: where a page ended, as a text that the caller sends back. Never an offset, which shifts and slows down.

The text is no secret, only none of the caller's business; a changed one gives another page, or VALUE_INVALID.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any, TypeVar

from studio.errors import Invalid

MOST_ROWS = 1000
_LARGEST_ID = 2**63 - 1
_IMPOSSIBLE = re.compile("[\x00\ud800-\udfff]")
Row = TypeVar("Row")


def encode_cursor(*values: int | str) -> str:
    return base64.urlsafe_b64encode(json.dumps(values, separators=(",", ":")).encode()).rstrip(b"=").decode()


def decode_cursor(cursor: str, *kinds: type[int] | type[str]) -> tuple[Any, ...]:
    """The values of `encode_cursor`. Raises Invalid unless they are of these types."""
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)))
    except (ValueError, RecursionError):
        values = None
    fits = isinstance(values, list) and [type(value) for value in values] == list(kinds)
    if not fits or not all(_can_be(value) for value in values):
        raise Invalid("after: expected the `next` of the page before, found something else.", "CURSOR_INVALID")
    return tuple(values)


def _can_be(value: int | str) -> bool:
    """Whether a database takes it: no id beyond 64 bits, no character zero, no half of a surrogate pair."""
    return abs(value) <= _LARGEST_ID if isinstance(value, int) else not _IMPOSSIBLE.search(value)


def cut(rows: list[Row], limit: int) -> tuple[list[Row], Row | None]:
    """Of limit + 1 rows asked for: the page, and its last row where more follow."""
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], rows[limit - 1]
