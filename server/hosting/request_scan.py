"""Has a whole request arrived? Looks at framing alone: the end of the head, Content-Length, chunk sizes.

A hint for scheduling and nothing more: what the bytes mean is decided by Gunicorn's parser, which sees all of them and
refuses what is wrong. Where the framing makes no sense, or is too large, the answer is yes, so that the parser gets to
say so.
"""

from __future__ import annotations

import re
from enum import Enum, auto

MAX_HEAD_BYTES = 64 * 1024
MAX_CHUNK_LINE_BYTES = 4096
# What chunk sizes and trailers may add to a body; Triton's CVE-2025-23310 was a huge count of tiny chunks.
CHUNK_OVERHEAD_BYTES = 1024 * 1024

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*0*([0-9]{1,18})[ \t]*\r\n", re.IGNORECASE)
_ANY_LENGTH = re.compile(rb"\ncontent-length\b", re.IGNORECASE)
# Where others may see the end of a line, of the head or of the body elsewhere; and where the client wants a close.
_DOUBTFUL = re.compile(rb"(?<!\r)\n|\r(?!\n)|\n[ \t]|transfer-encoding|close")
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_EXPECT = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE)
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}")


class Arrival(Enum):
    """How much of a request is there."""

    HEAD = auto()  # its head is not complete
    BODY = auto()  # the head is, the body is not
    WHOLE = auto()


class RequestScan:
    """Follows one request as its bytes arrive.

    max_body_bytes: a longer body counts as whole at once, since it will be refused unread.
    """

    __slots__ = (
        "_at", "_body", "_chunk_bytes", "_chunked", "_max_body_bytes", "cut", "end", "expects_continue", "target",
    )  # fmt: skip

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._at = 0  # nothing before this offset needs to be looked at again
        self.end: int | None = None  # offset of the request's end, once it is known
        self._body = 0  # offset of the body
        self._chunk_bytes = 0  # of all chunks, without what frames them
        self._chunked = False
        self.cut = False  # handed over without all of its bytes: the connection cannot be used again
        self.expects_continue = False
        self.target = b""

    def look(self, inbox: bytearray) -> Arrival:
        """inbox: everything received since the request began; it only ever grows."""
        if self.end is None and not self._chunked and not self._look_at_head(inbox):
            self.cut = len(inbox) > MAX_HEAD_BYTES
            return Arrival.WHOLE if self.cut else Arrival.HEAD
        if self._chunked and self.end is None:
            self._look_at_chunks(inbox)
        return Arrival.WHOLE if self.end is not None and len(inbox) >= self.end else Arrival.BODY

    def may_be_skipped(self, inbox: bytearray) -> bool:
        """Of a whole request: whether its end is beyond doubt without the parser, and more may come behind it."""
        head = bytes(inbox[: self._body]).lower()
        return (
            not self.cut
            and head.partition(b"\r\n")[0].endswith(b" http/1.1")
            and head.count(b"content-length") <= 1
            and _DOUBTFUL.search(head) is None
        )

    def _look_at_head(self, inbox: bytearray) -> bool:
        """Whether the head is complete; then either the end is known or the body is chunked."""
        at = inbox.find(b"\r\n\r\n", max(0, self._at - 3), MAX_HEAD_BYTES)
        if at < 0:
            self._at = len(inbox)
            return False
        head = bytes(inbox[: at + 2])
        line = head.removeprefix(b"\r\n").partition(b"\r\n")[0].split(b" ", 2)  # the parser skips one empty line, too
        self.target = line[1] if len(line) == 3 else b""
        self._body = body = at + 4
        length = _LENGTH.search(head)
        if _CHUNKED.search(head):
            self._chunked, self._at = True, body
        elif length is None:
            self.end, self.cut = body, _ANY_LENGTH.search(head) is not None  # the parser's reading may be another
        elif int(length[1]) > self._max_body_bytes:
            self.end, self.cut = body, True
        else:
            self.end = body + int(length[1])
            self.expects_continue = self.end > body and _EXPECT.search(head) is not None
        if self._chunked:
            self.expects_continue = _EXPECT.search(head) is not None
        return True

    def _look_at_chunks(self, inbox: bytearray) -> None:
        if len(inbox) > self._max_body_bytes + CHUNK_OVERHEAD_BYTES:
            self.end, self.cut = 0, True
            return
        while len(inbox) > self._at:
            if self._at - self._body - self._chunk_bytes > CHUNK_OVERHEAD_BYTES:
                self.end, self.cut = 0, True
                return
            line_end = inbox.find(b"\r\n", self._at, self._at + MAX_CHUNK_LINE_BYTES)
            if line_end < 0:
                if len(inbox) - self._at >= MAX_CHUNK_LINE_BYTES:
                    self.end, self.cut = 0, True
                return
            size = _CHUNK_SIZE.match(inbox, self._at, line_end)
            if size is None:
                self.end, self.cut = 0, True
                return
            count = int(size[0], 16)
            if count == 0:
                self._look_at_trailers(inbox, line_end)
                return
            self._chunk_bytes += count
            self._at = line_end + 2 + count + 2

    def _look_at_trailers(self, inbox: bytearray, line_end: int) -> None:
        """After the last chunk: an empty line, or fields and then an empty line."""
        at = inbox.find(b"\r\n\r\n", line_end)
        if at >= 0:
            self.end = at + 4
        elif len(inbox) - line_end > MAX_HEAD_BYTES:
            self.end, self.cut = 0, True
