"""Read a models folder into verified bundles. Runs no model code, so it may run before the server forks.

`*.onsight` directly in the folder belongs to the project `default`, `<project>/*.onsight` to that project. What cannot
be trusted or read is set aside with its reason and never keeps the others from serving. A name that begins with a dot
is ignored: that is where a copy in progress belongs.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bundle.errors import KeyFileError, MalformedBundle, OnsightError
from bundle.load import Bundle, load_bundle
from bundle.trust import TrustStore

log = logging.getLogger("onsight.server")

SUFFIX = ".onsight"
DEFAULT_PROJECT = "default"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class ShelvedBundle:
    """A verified bundle, its project and its file's name."""

    project: str
    file_name: str
    bundle: Bundle


@dataclass(frozen=True, slots=True)
class Failure:
    """A bundle that does not serve. reason: fit for a client, so without paths."""

    project: str
    file_name: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Shelf:
    """What a models folder holds. Both sorted by project and file name."""

    bundles: tuple[ShelvedBundle, ...]
    failures: tuple[Failure, ...]


def read_shelf(models_dir: Path, trust: TrustStore) -> Shelf:
    """Verify every bundle in the folder: limits, signature, digests. Never raises for a bad bundle."""
    bundles: list[ShelvedBundle] = []
    failures: list[Failure] = []
    for project, path in _find_bundles(models_dir):
        try:
            if NAME.fullmatch(project) is None:
                raise MalformedBundle(
                    f"project folder {project!r}: expected letters, digits, '.', '_' and '-'. Rename the folder."
                )
            bundles.append(ShelvedBundle(project, path.name, load_bundle(path, trust)))
        except OnsightError as error:
            failures.append(failure_of(error, project, path.name))
    return Shelf(tuple(bundles), tuple(failures))


def failure_of(error: OnsightError, project: str, file_name: str) -> Failure:
    """Log why a bundle does not serve, and put it in words for a client."""
    log.error(
        "bundle skipped", extra={"project": project, "bundle": file_name, "code": error.code, "reason": str(error)}
    )
    # A key file's error names its path, which is the operator's business alone.
    reason = "The trust store cannot be read; the log says why." if isinstance(error, KeyFileError) else str(error)
    return Failure(project, file_name, error.code, reason)


def natural_order(version: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts 1.10 after 1.9, and 1.0 after 1.0-rc1: numbers stand above the end, the end above text."""
    parts = re.findall(r"[0-9]+|[A-Za-z]+", version)
    return (*((1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts), (1, -1, ""))


def _find_bundles(models_dir: Path) -> Iterator[tuple[str, Path]]:
    for path in _visible(models_dir):
        if path.suffix == SUFFIX:
            yield DEFAULT_PROJECT, path
        elif _is_folder(path):
            yield from ((path.name, inner) for inner in _visible(path) if inner.suffix == SUFFIX)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:  # on a reload it would end the server
        log.error("folder not read", extra={"folder": str(path), "reason": error.strerror})
        return False


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        log.error("folder not read", extra={"folder": str(folder), "reason": error.strerror})
        return []
