"""Versions of the libraries that are installed here, as runs and bundles record them."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping
from typing import Final

EDITIONS: Final[Mapping[str, tuple[str, ...]]] = {"onnxruntime": ("onnxruntime", "onnxruntime-gpu")}
"""By the name that is imported, the distributions that bring it; an install has one of them."""


def library_versions(names: Iterable[str]) -> dict[str, str]:
    """Name -> version. Raises importlib.metadata.PackageNotFoundError for one that is not installed."""
    return {name: _version_of(name) for name in names}


def _version_of(name: str) -> str:
    *others, last = EDITIONS.get(name, (name,))
    for edition in others:
        try:
            return importlib.metadata.version(edition)
        except importlib.metadata.PackageNotFoundError:
            continue
    return importlib.metadata.version(last)
