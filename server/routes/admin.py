"""Load and unload models by name, for operators: a token of the scope `admin` opens it. Never by path.

`/v1/models/.../load` and Triton's `/v2/repository` are two addresses of the same thing, `server/models/changes.py`.
"""

from __future__ import annotations

import re
from typing import Any

from flask import Blueprint, Response, jsonify, request

from server.auth import requires
from server.context import context
from server.models.changes import Outcome
from server.problems import Problem
from server.routes.v2 import v2_key, v2_name
from server.tokens import Scope
from server.uploads import read_json

admin = Blueprint("admin", __name__)

VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


@admin.post("/v1/models/<name:project>/<name:name>/load")
@requires(Scope.ADMIN)
def load(project: str, name: str) -> Response:
    """`{"version": "2"}` serves that version beside what serves; without it the highest serves, and it alone."""
    return _answer(context().changes.load((project, name), _version(_document())))


@admin.post("/v1/models/<name:project>/<name:name>/unload")
@requires(Scope.ADMIN)
def unload(project: str, name: str) -> Response:
    """`{"version": "2"}` stops that version alone."""
    return _answer(context().changes.unload((project, name), _version(_document())))


@admin.post("/v2/repository/index")
@requires(Scope.ADMIN)
def index() -> Response:
    """All models that there are, serving or not; `{"ready": true}` leaves those that serve."""
    registry = context().registry
    entries = [
        {"name": v2_name(model.facts.project, model.manifest.name), "version": model.manifest.version,
         "state": "READY", "reason": ""}
        for model in registry.models
    ]  # fmt: skip
    if _document().get("ready") is not True:
        entries += [
            {"name": v2_name(one.project, one.name), "version": one.version, "state": "UNAVAILABLE",
             "reason": "unloaded"}
            for one in registry.standby
        ]  # fmt: skip
        entries += [
            {"name": v2_name(one.project, one.name), "version": one.version or "", "state": "UNAVAILABLE",
             "reason": one.reason}
            for one in registry.failures
            if one.name is not None
        ]  # fmt: skip
    return jsonify(entries)


@admin.post("/v2/repository/models/<name:name>/load")
@requires(Scope.ADMIN)
def load_v2(name: str) -> Response:
    return _answer(context().changes.load(v2_key(name), _version(_v2_parameters())))


@admin.post("/v2/repository/models/<name:name>/unload")
@requires(Scope.ADMIN)
def unload_v2(name: str) -> Response:
    return _answer(context().changes.unload(v2_key(name), _version(_v2_parameters())))


def _answer(outcome: Outcome) -> Response:
    project, name = outcome.key
    return jsonify(
        project=project,
        name=name,
        serving=outcome.serving,
        workers={"count": outcome.workers, "in_step": outcome.in_step},
    )


def _document() -> dict[str, Any]:
    return read_json(request) if request.content_length else {}


def _v2_parameters() -> dict[str, Any]:
    """Triton puts the version among the parameters; `config` and files in the request are not taken."""
    parameters = _document().get("parameters", {})
    if not isinstance(parameters, dict) or set(parameters) - {"version", "unload_dependents"}:
        raise Problem(400, "PARAMETER_INVALID", 'parameters: expected {"version": ...} or nothing.')
    return parameters


def _version(document: dict[str, Any]) -> str | None:
    version = document.get("version")
    if version is not None and not (isinstance(version, str) and VERSION.fullmatch(version)):
        raise Problem(400, "PARAMETER_INVALID", "version: expected letters, digits, '.', '_', '+' and '-'.")
    return version
