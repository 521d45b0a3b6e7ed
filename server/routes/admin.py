"""Load and unload models by name, for operators: a token of the scope `admin` opens it. Never by path.

The wish is written down, all workers are told, and the call waits until each of them has done it. `/v1/models/.../load`
and Triton's `/v2/repository` are two addresses of the same thing.
"""

from __future__ import annotations

import re
import time
from typing import Any

from flask import Blueprint, Response, jsonify, request

from server.auth import requires
from server.context import context
from server.errors import ConfigurationError
from server.models.registry import ModelKey
from server.problems import Problem
from server.routes.v2 import v2_key, v2_name
from server.tokens import Scope
from server.uploads import read_json

admin = Blueprint("admin", __name__)

VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
WAIT_S = 60.0
POLL_S = 0.02


@admin.post("/v1/models/<name:project>/<name:name>/load")
@requires(Scope.ADMIN)
def load(project: str, name: str) -> Response:
    """`{"version": "2"}` serves that version beside those asked for before; without it the highest serves."""
    return jsonify(_change((project, name), load=True, version=_version(_document())))


@admin.post("/v1/models/<name:project>/<name:name>/unload")
@requires(Scope.ADMIN)
def unload(project: str, name: str) -> Response:
    return jsonify(_change((project, name), load=False, version=_version(_document())))


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
    return jsonify(entries)


@admin.post("/v2/repository/models/<name:name>/load")
@requires(Scope.ADMIN)
def load_v2(name: str) -> Response:
    return jsonify(_change(v2_key(name), load=True, version=_version(_v2_parameters())))


@admin.post("/v2/repository/models/<name:name>/unload")
@requires(Scope.ADMIN)
def unload_v2(name: str) -> Response:
    return jsonify(_change(v2_key(name), load=False, version=_version(_v2_parameters())))


def _change(key: ModelKey, *, load: bool, version: str | None) -> dict[str, Any]:
    parts = context()
    known = {(one.project, one.name): one.version for one in parts.registry.standby}
    known |= dict.fromkeys(parts.registry.table.slots, "")
    if key not in known:
        raise Problem(404, "MODEL_NOT_FOUND", "No bundle of this model is in the models folder. Put it there first.")
    try:
        if load:
            parts.wishes.load(key, version)
        else:
            parts.wishes.unload(key, version)
    except (OSError, ConfigurationError) as error:
        raise Problem(
            507, "WISH_NOT_KEPT", "The server cannot write its home folder, so nothing was changed; see its log."
        ) from error
    generation = parts.lifecycle.raise_generation()
    end = time.monotonic() + WAIT_S
    while any(worker.generation < generation for worker in parts.board.workers() if worker.pid):
        if time.monotonic() > end:
            raise Problem(
                504,
                "STILL_CHANGING",
                "Not all workers are done yet; they go on. GET /v1/models shows more.",
            )
        time.sleep(POLL_S)
    serving = [slot.model.manifest.version for slot in parts.registry.table.slots.get(key, ())]
    if load and (not serving if version is None else version not in serving):
        reasons = [failure.reason for failure in parts.registry.failures if failure.project == key[0]]
        raise Problem(409, "MODEL_NOT_LOADED", " ".join(reasons) or "The models folder holds no such version.")
    return {"project": key[0], "name": key[1], "serving": serving}


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
