"""`/metrics`, for Prometheus: a token of the scope `metrics` opens it."""

from __future__ import annotations

from flask import Blueprint, Response

from server.auth import requires
from server.context import context
from server.metrics import CONTENT_TYPE
from server.tokens import Scope

metrics = Blueprint("metrics", __name__)


@metrics.get("/metrics")
@requires(Scope.METRICS)
def exposition() -> Response:
    return Response(context().metrics.exposition(), content_type=CONTENT_TYPE)
