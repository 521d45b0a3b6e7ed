"""The files of a form, one after the other in one nameless file: as many as there are, they take one descriptor.

The form's parser writes a part to its end before the next one begins; reading is by position, so several are read at
once.
"""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from typing import IO, Any, cast

from studio.errors import TooMany

MOST_FORM_FILES = 1000


class FormFiles:
    """Close it when no part is read any more: it is gone then."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - `close` closes it
        self._parts = 0

    def new_part(self, *_: Any, **__: Any) -> IO[bytes]:
        """What the parser asks for at each file, whatever it says of it. Raises TooMany."""
        self._parts += 1
        if self._parts > MOST_FORM_FILES:
            raise TooMany(
                f"files: expected at most {MOST_FORM_FILES} in one form, found more. Send several forms, or a zip."
            )
        return cast(IO[bytes], _Part(self._file.fileno()))

    def close(self) -> None:
        self._file.close()


class _Part(io.RawIOBase):
    """A range of the file that begins where it ends by now."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._at, self._size = descriptor, 0, 0
        self._start = os.fstat(descriptor).st_size

    def write(self, data: Any, /) -> int:
        left = memoryview(data).cast("B")
        written = len(left)
        while left:
            done = os.pwrite(self._descriptor, left, self._start + self._at)
            left, self._at = left[done:], self._at + done
        self._size = max(self._size, self._at)
        return written

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self._size - self._at)
        wanted = left if size is None or size < 0 else min(size, left)
        data = os.pread(self._descriptor, wanted, self._start + self._at)
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if at < 0:
            raise ValueError(f"expected a place in the file, found {at}.")
        self._at = at
        return at

    def tell(self) -> int:
        return self._at

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True
