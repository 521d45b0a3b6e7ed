"""What lies in the models folder: which bundles there are, by cheap looks at names and times. Reads no bundle.

`models/*.onsight` belong to the project `default`, `models/<project>/*.onsight` to `<project>`; hidden names are left
alone. Never raises for what it finds.
"""

from __future__ import annotations

import logging
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger("onsight.server")

SUFFIX = ".onsight"
DEFAULT_PROJECT = "default"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

Fingerprint = tuple[tuple[str, int, int, int], ...]
"""Of a file, or of each file in a folder: name, size, time of change in nanoseconds, inode."""


@dataclass(frozen=True, slots=True)
class BundleFile:
    """One bundle in the folder, unread. fingerprint: differs when its content may have changed."""

    project: str
    path: Path
    fingerprint: Fingerprint

    @property
    def file_name(self) -> str:
        return self.path.name

    @property
    def key(self) -> str:
        """Names it among all bundles of the folder."""
        return f"{self.project}/{self.path.name}"

    @property
    def newest_change(self) -> float:
        """Seconds since 1970."""
        return max((changed for _, _, changed, _ in self.fingerprint), default=0) / 1e9


def list_bundles(models_dir: Path) -> tuple[BundleFile, ...] | None:
    """Every bundle, sorted by project and name; None where the folder cannot be read (which is not: empty)."""
    names = _visible(models_dir)
    if names is None:
        return None
    found = []
    for path in names:
        if path.suffix == SUFFIX:
            found.append((DEFAULT_PROJECT, path))
        elif _is_folder(path):
            found.extend((path.name, inner) for inner in _visible(path) or () if inner.suffix == SUFFIX)
    return tuple(BundleFile(project, path, fingerprint_of(path)) for project, path in found)


def fingerprint_of(path: Path) -> Fingerprint:
    """Empty for what is not there or cannot be looked at."""
    try:
        found = path.stat()
        if not stat.S_ISDIR(found.st_mode):
            return ((path.name, found.st_size, found.st_mtime_ns, found.st_ino),)
        return tuple(sorted(_entries(path)))
    except OSError:
        return ()


def natural_order(version: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts 1.10 after 1.9, and 1.0 after 1.0-rc1: numbers stand above the end, the end above text."""
    parts = re.findall(r"[0-9]+|[A-Za-z]+", version)
    return (*((1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts), (1, -1, ""))


def _entries(folder: Path) -> Iterator[tuple[str, int, int, int]]:
    for path in folder.iterdir():
        found = path.stat()
        yield path.name, found.st_size, found.st_mtime_ns, found.st_ino


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:
        log.error("folder not read", extra={"folder": str(path), "reason": error.strerror})
        return False


def _visible(folder: Path) -> list[Path] | None:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        log.error("folder not read", extra={"folder": str(folder), "reason": error.strerror})
        return None
