"""What lies in the models folder: which bundles there are, by cheap looks at names and times. Reads no bundle.

`models/*.onsight` belong to the project `default`, `models/<project>/*.onsight` to `<project>`; hidden names are left
alone. What cannot be looked at is told apart from what is not there. Never raises for what it finds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from bundle.fingerprint import Fingerprint, fingerprint_of

SUFFIX = ".onsight"
DEFAULT_PROJECT = "default"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")  # both as manifests take them


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
        return key_of(self.project, self.path.name)

    @property
    def newest_change(self) -> float:
        """Of its content, in seconds since 1970."""
        return max((changed for _, _, changed, _, _ in self.fingerprint), default=0) / 1e9


@dataclass(frozen=True, slots=True)
class Listing:
    """files: every bundle, sorted by project folder and name.

    unread: projects of whose folder nothing can be said now; `whole` is False where that is so for the models folder
    itself.  problems: one sentence for each, with paths, for the log.
    """

    files: tuple[BundleFile, ...]
    unread: frozenset[str] = frozenset()
    whole: bool = True
    problems: tuple[str, ...] = ()


def key_of(project: str, file_name: str) -> str:
    return f"{project}/{file_name}"


def list_bundles(models_dir: Path) -> Listing:
    """Look at the folder."""
    found: list[tuple[str, Path]] = []
    unread: set[str] = set()
    problems: list[str] = []
    try:
        names = _visible(models_dir)
    except OSError as error:
        return Listing((), whole=False, problems=(_problem(models_dir, error),))
    for path in names:
        if path.suffix == SUFFIX:
            found.append((DEFAULT_PROJECT, path))
            continue
        try:
            if path.is_dir():
                found.extend((path.name, inner) for inner in _visible(path) if inner.suffix == SUFFIX)
        except OSError as error:
            unread.add(path.name)
            problems.append(_problem(path, error))
    files = tuple(BundleFile(project, path, fingerprint_of(path)) for project, path in found)
    return Listing(files, frozenset(unread), problems=tuple(problems))


def absent_bundle(models_dir: Path, key: str) -> BundleFile:
    """The file that has this key, as if it could not be looked at."""
    project, _, file_name = key.partition("/")
    return BundleFile(project, (models_dir if project == DEFAULT_PROJECT else models_dir / project) / file_name, ())


def is_unreadable(folder: Path) -> bool:
    """Whether it is there and cannot be listed."""
    try:
        next(folder.iterdir(), None)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def natural_order(version: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts 1.10 after 1.9, and 1.0 after 1.0-rc1: numbers stand above the end, the end above text."""
    parts = re.findall(r"[0-9]+|[A-Za-z]+", version)
    return (*((1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts), (1, -1, ""))


def _visible(folder: Path) -> list[Path]:
    """Raises OSError."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _problem(folder: Path, error: OSError) -> str:
    return (
        f"{folder}: expected a folder that can be read, found {error.strerror or error}. What served from it goes on."
    )
