"""What the report says of a run besides its statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bundle.manifest import Task


@dataclass(frozen=True)
class RunInfo:
    """The facts of one training run.

    created_at: UTC, as 2026-01-31T12:00:00Z.
    images: images per split (train, validation, test).
    warnings: (code, message) of everything that the data check found.
    skipped: (path, reason) of files that could not be used.
    unlabeled: images that carried no label and were left out.
    recipe: what was asked for; provenance: digests and versions. Values are shown as they are.
    """

    name: str
    task: Task
    labels: tuple[str, ...]
    created_at: str
    backbone: str
    images: Mapping[str, int]
    warnings: Sequence[tuple[str, str]] = ()
    skipped: Sequence[tuple[str, str]] = ()
    unlabeled: int = 0
    duration_s: float | None = None
    best_epoch: int | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
