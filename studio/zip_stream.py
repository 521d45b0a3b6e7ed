"""Zip archives that are sent while they are made: where zipfile writes to, and names that can be unpacked anywhere."""

from __future__ import annotations

import re
from typing import Final

_UNFIT: Final = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]+')  # for the file systems that people unpack on
_MOST_CHARACTERS: Final = 100


class ZipSink:
    """`zipfile.ZipFile(sink, "w")` writes here, and never goes back; what came since the last look is taken away."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing to do: zipfile asks for it."""

    def close(self) -> None:
        """As `flush`."""

    def take(self) -> bytes:
        taken, self._parts = b"".join(self._parts), []
        return taken


def folder_name(label: str) -> str:
    """Of a label, or several: one part of a path, which leads nowhere else; empty where nothing is left."""
    return _UNFIT.sub("_", label).strip(". ")[:_MOST_CHARACTERS]
