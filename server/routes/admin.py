"""Load and unload models by name, for operators: a token of the scope `admin` opens it. Never by path.

`/v1/models/.../load` and Triton's `/v2/repository` are two addresses of the same thing, `server/models/changes.py`.
"""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from flask import Blueprint, request
from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from server.auth import requires
from server.context import context
from server.models.changes import Outcome
from server.models.shelf import VERSION
from server.openapi.describe import Content, Group, described
from server.openapi.problems import BODY
from server.problems import Problem
from server.routes.v1 import Workers
from server.routes.v2_documents import IndexEntry
from server.routes.v2_names import NAME, v2_key, v2_name
from server.tokens import Scope
from server.uploads import read_json

admin = Blueprint("admin", __name__)


class Changed(TypedDict):
    project: str
    name: str
    serving: Annotated[list[str], Field(description="versions that answer now, highest first")]
    workers: Workers


VersionText = Annotated[str, Field(pattern=f"^{VERSION.pattern}$")]


class Change(TypedDict):
    version: NotRequired[VersionText | None]


class V2ChangeParameters(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    version: NotRequired[VersionText | None]
    unload_dependents: NotRequired[Annotated[Any, Field(description="taken and ignored")]]


class V2Change(TypedDict):
    """Triton's `config` and files in the request are not taken."""

    parameters: NotRequired[V2ChangeParameters]


class IndexQuestion(TypedDict):
    ready: NotRequired[Annotated[bool, Field(description="true: only those that serve")]]


CHANGE_BODY = (Content("application/json", Change, example={"version": "2"}),)
V2_CHANGE_BODY = (Content("application/json", V2Change, example={"parameters": {"version": "2"}}),)
CHANGED_EXAMPLE: Any = {
    "project": "default", "name": "trash", "serving": ["2", "1"], "workers": {"count": 2, "in_step": True},
}  # fmt: skip
INDEX_EXAMPLE: Any = [
    {"name": "trash", "version": "2", "state": "READY", "reason": ""},
    {"name": "trash", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"},
]
UNLOADING = (
    *BODY, "JSON_INVALID", "PARAMETER_INVALID", "MODEL_NOT_FOUND", "CHANGE_UNDER_WAY", "STILL_CHANGING",
    "CHANGE_NOT_KEPT",
)  # fmt: skip
LOADING = (*UNLOADING, "MODEL_NOT_LOADED")


@admin.post("/v1/models/<name:project>/<name:name>/load")
@requires(Scope.ADMIN)
@described(
    Group.CHANGE, "Load a model",
    body=CHANGE_BODY, body_required=False, example=CHANGED_EXAMPLE, problems=LOADING,
)  # fmt: skip
def load(project: str, name: str) -> Changed:
    """`{"version": "2"}` serves that version beside what serves; without it the highest serves, and it alone.

    Returns when all workers have done it. A bundle that was put into the models folder a moment ago is found.
    """
    return _answer(context().changes.load((project, name), _version(_document())))


@admin.post("/v1/models/<name:project>/<name:name>/unload")
@requires(Scope.ADMIN)
@described(
    Group.CHANGE, "Unload a model",
    body=CHANGE_BODY, body_required=False, example=CHANGED_EXAMPLE, problems=UNLOADING,
)  # fmt: skip
def unload(project: str, name: str) -> Changed:
    """`{"version": "2"}` stops that version alone; without it none of the model's versions serves any more."""
    return _answer(context().changes.unload((project, name), _version(_document())))


@admin.post("/v2/repository/index")
@requires(Scope.ADMIN)
@described(
    Group.CHANGE, "All models that there are (v2)",
    body=(Content("application/json", IndexQuestion, example={"ready": True}),), body_required=False,
    example=INDEX_EXAMPLE, problems=(*BODY, "JSON_INVALID", "PARAMETER_INVALID"),
)  # fmt: skip
def index() -> list[IndexEntry]:
    """Serving or not; `{"ready": true}` leaves those that serve."""
    registry = context().registry
    entries: list[IndexEntry] = [
        {"name": v2_name(model.facts.project, model.manifest.name), "version": model.manifest.version,
         "state": "READY", "reason": ""}
        for model in registry.models
    ]  # fmt: skip
    ready = _document().get("ready", False)
    if not isinstance(ready, bool):
        raise Problem(400, "PARAMETER_INVALID", "ready: expected true or false.")
    if ready:
        return entries
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
    return entries


@admin.post("/v2/repository/models/<name:name>/load")
@requires(Scope.ADMIN)
@described(
    Group.CHANGE, "Load a model (v2)",
    parameters=(NAME,), body=V2_CHANGE_BODY, body_required=False, example=CHANGED_EXAMPLE, problems=LOADING,
)  # fmt: skip
def load_v2(name: str) -> Changed:
    """Triton's address of the same: the version stands among the parameters."""
    return _answer(context().changes.load(v2_key(name), _version(_v2_parameters())))


@admin.post("/v2/repository/models/<name:name>/unload")
@requires(Scope.ADMIN)
@described(
    Group.CHANGE, "Unload a model (v2)",
    parameters=(NAME,), body=V2_CHANGE_BODY, body_required=False, example=CHANGED_EXAMPLE, problems=UNLOADING,
)  # fmt: skip
def unload_v2(name: str) -> Changed:
    """Triton's address of the same: the version stands among the parameters."""
    return _answer(context().changes.unload(v2_key(name), _version(_v2_parameters())))


def _answer(outcome: Outcome) -> Changed:
    project, name = outcome.key
    return {
        "project": project,
        "name": name,
        "serving": list(outcome.serving),
        "workers": {"count": outcome.workers, "in_step": outcome.in_step},
    }


def _document() -> dict[str, Any]:
    return read_json(request, empty={})


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
