"""How models are called in the Open Inference Protocol, which knows no projects.

A model of the project `default` goes by its name, one of another project by `project__name`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flask import g

from server.context import context
from server.models.model import ServedModel
from server.models.registry import ModelKey
from server.models.shelf import DEFAULT_PROJECT
from server.openapi.describe import Parameter

NAME = Parameter(
    "name", "path", "The model's name; of another project than `default`, `project__name`.",
    {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"}, "trash",
)  # fmt: skip


@contextmanager
def leased(name: str, version: str | None, wait_s: float = 0.0) -> Iterator[ServedModel]:
    """wait_s: for the first models. Not for mere questions: the threads that answer them answer health checks, too."""
    project, model_name = v2_key(name)
    with context().registry.lease((project,), model_name, wait_s, version) as model:
        g.model, g.version = model.label, model.manifest.version
        yield model


def v2_name(project: str, name: str) -> str:
    return name if project == DEFAULT_PROJECT else f"{project}__{name}"


def v2_key(name: str) -> ModelKey:
    """Project and name behind a name of this protocol; a model of `default` comes first where both could be meant."""
    registry = context().registry
    project, separator, rest = name.partition("__")
    known = {(one.project, one.name) for one in registry.standby} | registry.table.slots.keys()
    return (project, rest) if separator and rest and (DEFAULT_PROJECT, name) not in known else (DEFAULT_PROJECT, name)
