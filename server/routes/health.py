"""Is it alive, and does it want requests? Public: names, versions and providers, never a reason that names a file.

Live: the process answers. Ready: the models are loaded and the server is not about to stop.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from flask import Blueprint
from pydantic import Field
from typing_extensions import TypedDict

from bundle.manifest import Precision
from licenses.holding import most_pressing
from server.auth import public
from server.context import context
from server.engines.process.arrangement import EngineProcesses
from server.engines.protocol import is_ready
from server.models.registry import Phase
from server.openapi.describe import Answer, Content, Group, described
from server.routes.loading import LoadingModel, loading_models

ENGINE_RESTARTING = "engine_restarting"
DRAINING = "draining"

health = Blueprint("health", __name__, url_prefix="/health")


class Live(TypedDict):
    status: Literal["live"]


class ReadyModel(TypedDict):
    project: str
    name: str
    version: str
    provider: Annotated[str, Field(description="what really runs it")]
    device: Annotated[str, Field(description="where: `CPU`, or the board's name")]
    library: Annotated[str, Field(description="whose code, with its version")]
    precision: Annotated[Precision, Field(description="of the form that runs")]


class FailedBundle(TypedDict):
    project: str
    code: Annotated[str, Field(description="why; `GET /v1/models` has the whole reason")]


class EngineProcess(TypedDict):
    device: int
    state: str
    restarts: int
    pending: Annotated[int, Field(description="images that wait or run")]
    models: Annotated[int, Field(description="loaded there")]


class Readiness(TypedDict):
    """What serves, and what does not."""

    status: Annotated[str, Field(json_schema_extra={"enum": [*Phase, DRAINING, ENGINE_RESTARTING]})]
    providers: Annotated[list[str], Field(description="where models run, by the runtime's names")]
    fallback: Annotated[
        bool, Field(description="a model runs on another provider than the first of `ONSIGHT_PROVIDERS`")
    ]
    models: list[ReadyModel]
    failed: Annotated[list[FailedBundle], Field(description="bundles that do not serve")]
    license: NotRequired[
        Annotated[str, Field(description="the most pressing state of the licences that are installed")]
    ]
    engines: NotRequired[Annotated[list[EngineProcess], Field(description="where models run in their own")]]
    loading: NotRequired[Annotated[list[LoadingModel], Field(description="there, on their way")]]


READY_EXAMPLE: Any = {
    "status": "ready",
    "providers": ["CPUExecutionProvider"],
    "fallback": False,
    "models": [{
        "project": "default", "name": "trash", "version": "1",
        "provider": "CPUExecutionProvider", "device": "CPU", "library": "ONNX Runtime 1.32.0", "precision": "int8",
    }],
    "failed": [],
}  # fmt: skip


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
            ("Retry-After",),
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
    running = {model.engine.providers[0] for model in registry.models}
    document: Readiness = {
        "status": status,
        "providers": sorted(running),
        "fallback": not running <= {parts.settings.providers[0]},
        "models": [
            {
                "project": model.facts.project,
                "name": model.manifest.name,
                "version": model.manifest.version,
                "provider": model.engine.providers[0],
                "device": model.engine.device,
                "library": model.engine.library,
                "precision": model.variant.precision,
            }
            for model in registry.models
        ],
        "failed": [{"project": failure.project, "code": failure.code} for failure in registry.failures],
    }
    if parts.entitlement is not None and parts.entitlement.holdings:
        document["license"] = most_pressing(parts.entitlement.holdings).state
    if parts.engines is not None:
        document["engines"] = _describe(parts.engines)
        document["loading"] = loading_models(parts)
    return (document, 200, {}) if status == Phase.READY else (document, 503, {"Retry-After": "1"})


def _describe(engines: EngineProcesses) -> list[EngineProcess]:
    return [
        {
            "device": each.device,
            "state": each.state.name.lower(),
            "restarts": each.restarts,
            "pending": each.pending,
            "models": each.models,
        }
        for each in engines.status
    ]
