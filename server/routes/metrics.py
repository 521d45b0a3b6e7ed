"""`/metrics`, for Prometheus: a token of the scope `metrics` opens it."""

from __future__ import annotations

from flask import Blueprint, Response

from server.auth import requires
from server.context import context
from server.metrics import CONTENT_TYPE
from server.openapi.describe import TEXT, Answer, Content, Group, described
from server.tokens import Scope

metrics = Blueprint("metrics", __name__)

EXAMPLE = 'nv_inference_request_success_total{model="trash",project="default",version="1"} 1024.0\n'


@metrics.get("/metrics")
@requires(Scope.METRICS)
@described(
    Group.WATCH,
    "Counters of all workers",
    answers={200: Answer("Prometheus' text format.", (Content("text/plain", TEXT, example=EXAMPLE),))},
)
def exposition() -> Response:
    """Triton's names where they mean the same."""
    return Response(context().metrics.exposition(), content_type=CONTENT_TYPE)
