"""Is it alive, and does it want requests? Public: names, versions and providers, never a reason that names a file.

Live: the process answers. Ready: the models are loaded and the server is not about to stop.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from flask import Blueprint
from pydantic import Field
from typing_extensions import TypedDict

from server.auth import public
from server.context import context
from server.engines.process.arrangement import EngineProcesses
from server.engines.protocol import is_ready
from server.models.registry import Phase
from server.openapi.describe import Answer, Content, Group, described

ENGINE_RESTARTING = "engine_restarting"
DRAINING = "draining"

health = Blueprint("health", __name__, url_prefix="/health")


class Live(TypedDict):
    status: Literal["live"]


class ReadyModel(TypedDict):
    project: str
    name: str
    version: str
    provider: Annotated[str, Field(description="where it really runs")]


class FailedBundle(TypedDict):
    project: str
    code: Annotated[str, Field(description="why; `GET /v1/models` has the whole reason")]


class EngineProcess(TypedDict):
    device: int
    state: str
    restarts: int
    pending: Annotated[int, Field(description="images that wait or run")]
    models: Annotated[int, Field(description="loaded there")]


class LoadingModel(TypedDict):
    model: str
    progress: str


class Readiness(TypedDict):
    """What serves, and what does not."""

    status: Annotated[str, Field(json_schema_extra={"enum": [*Phase, DRAINING, ENGINE_RESTARTING]})]
    providers: Annotated[list[str], Field(description="where models run, by the runtime's names")]
    models: list[ReadyModel]
    failed: Annotated[list[FailedBundle], Field(description="bundles that do not serve")]
    engines: NotRequired[Annotated[list[EngineProcess], Field(description="where models run in their own")]]
    loading: NotRequired[list[LoadingModel]]


READY_EXAMPLE: Any = {
    "status": "ready",
    "providers": ["CPUExecutionProvider"],
    "models": [{"project": "default", "name": "trash", "version": "1", "provider": "CPUExecutionProvider"}],
    "failed": [],
}


@health.get("/live")
@public
@described(Group.WATCH, "Is it alive?", example={"status": "live"})
def live() -> Live:
    """The process answers. Nothing is said of its models."""
    return {"status": "live"}


@health.get("/ready")
@public
@described(
    Group.WATCH,
    "Does it want requests?",
    answers={
        200: Answer("Predictions are welcome.", (Content("application/json", Readiness, example=READY_EXAMPLE),)),
        503: Answer(
            "Models are loading, there is none, or the server is about to stop.",
            (Content("application/json", Readiness, example={**READY_EXAMPLE, "status": DRAINING}),),
        ),
    },
)
def ready() -> tuple[Readiness, int, dict[str, str]]:
    """200 when predictions are welcome, else 503; the same document either way."""
    parts = context()
    registry = parts.registry
    status = DRAINING if parts.lifecycle.draining else registry.phase.value
    if status == Phase.READY and not all(is_ready(model.engine) for model in registry.models):
        status = ENGINE_RESTARTING
    document: Readiness = {
        "status": status,
        "providers": sorted({model.engine.providers[0] for model in registry.models}),
        "models": [
            {
                "project": model.facts.project,
                "name": model.manifest.name,
                "version": model.manifest.version,
                "provider": model.engine.providers[0],
            }
            for model in registry.models
        ],
        "failed": [{"project": failure.project, "code": failure.code} for failure in registry.failures],
    }
    if parts.engines is not None:
        _add_engines(document, parts.engines)
    return (document, 200, {}) if status == Phase.READY else (document, 503, {"Retry-After": "1"})


def _add_engines(document: Readiness, engines: EngineProcesses) -> None:
    document["engines"] = [
        {
            "device": each.device,
            "state": each.state.name.lower(),
            "restarts": each.restarts,
            "pending": each.pending,
            "models": each.models,
        }
        for each in engines.status
    ]
    document["loading"] = [{"model": name, "progress": text} for name, text in sorted(engines.loading.items())]
