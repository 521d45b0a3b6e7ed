"""Whether files changed since they were last looked at, without reading them. Never raises for what it finds."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

Fingerprint = tuple[tuple[str, int, int, int, int], ...]
"""Of a file, or of each file in a folder: name, size, times of change of content and of status in nanoseconds, inode.

The status is what a `chmod` changes, after which a file may be readable that was not.
"""


def fingerprint_of(path: Path) -> Fingerprint:
    """Empty for what is not there or cannot be looked at. Of a folder's own folders the names and times alone count."""
    try:
        found = path.stat()
        if not stat.S_ISDIR(found.st_mode):
            return ((path.name, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino),)
        return tuple(sorted(_entries(path)))
    except OSError:
        return ()


def _entries(folder: Path) -> Iterator[tuple[str, int, int, int, int]]:
    for path in folder.iterdir():
        try:
            found = path.stat()
        except OSError:
            found = path.lstat()  # a link that leads nowhere hides no change of the others
        yield path.name, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino
