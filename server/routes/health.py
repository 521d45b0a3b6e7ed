"""Is it alive, and does it want requests? Public: names, versions and providers, never a reason that names a file.

Live: the process answers. Ready: the models are loaded and the server is not about to stop.
"""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from server.auth import public
from server.context import context
from server.engines.process.arrangement import EngineProcesses
from server.engines.protocol import is_ready
from server.models.registry import Phase

ENGINE_RESTARTING = "engine_restarting"

health = Blueprint("health", __name__, url_prefix="/health")


@health.get("/live")
@public
def live() -> Response:
    return jsonify(status="live")


@health.get("/ready")
@public
def ready() -> tuple[Response, int]:
    """200 when predictions are welcome, else 503; the same document either way."""
    parts = context()
    registry = parts.registry
    status = "draining" if parts.lifecycle.draining else registry.phase.value
    if status == Phase.READY and not all(is_ready(model.engine) for model in registry.models):
        status = ENGINE_RESTARTING
    document = jsonify(
        status=status,
        providers=sorted({model.engine.providers[0] for model in registry.models}),
        models=[
            {
                "project": model.facts.project,
                "name": model.manifest.name,
                "version": model.manifest.version,
                "provider": model.engine.providers[0],
            }
            for model in registry.models
        ],
        failed=[{"project": failure.project, "code": failure.code} for failure in registry.failures],
        **({} if parts.engines is None else _engines(parts.engines)),
    )
    if status == Phase.READY:
        return document, 200
    document.headers["Retry-After"] = "1"
    return document, 503


def _engines(engines: EngineProcesses) -> dict[str, object]:
    return {
        "engines": [
            {
                "device": each.device,
                "state": each.state.name.lower(),
                "restarts": each.restarts,
                "pending": each.pending,
                "models": each.models,
            }
            for each in engines.status
        ],
        "loading": [{"model": name, "progress": text} for name, text in sorted(engines.loading.items())],
    }
