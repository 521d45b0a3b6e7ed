"""Is it alive, and does it want requests? Public: names, versions and providers, never a reason that names a file.

Live: the process answers. Ready: the models are loaded and the server is not about to stop.
"""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from server.auth import public
from server.context import context
from server.models.registry import Phase

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
    )
    if status == Phase.READY:
        return document, 200
    document.headers["Retry-After"] = "1"
    return document, 503
