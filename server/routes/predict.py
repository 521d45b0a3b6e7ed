"""The cloud product's calls, so that its users only change the host name.

`/api/predict/{project}/{model}` and `/api/pm-predict/{model}`, with and without a trailing slash. The answer is a bare
list of labels and scores from 0 to 100; `?details=true` gives the full answer of /v1 instead.
"""

from __future__ import annotations

from flask import Blueprint, Response, g, jsonify, request

from server.auth import requires
from server.models.shelf import DEFAULT_PROJECT
from server.problems import Problem
from server.request_facts import queue_seconds
from server.routes.answers import bare_scores, full_answer, leased_model, predict_one
from server.tokens import Scope

PRETRAINED_PROJECT = "pretrained"
BOOLEANS = {"true": True, "1": True, "false": False, "0": False, "": False}

cloud = Blueprint("cloud", __name__, url_prefix="/api")


@cloud.post("/predict/<name:project>/<name:model>")
@requires(Scope.PREDICT)
def predict(project: str, model: str) -> Response:
    return _answer(project, name=model)


@cloud.post("/pm-predict/<name:model>")
@requires(Scope.PREDICT)
def predict_pretrained(model: str) -> Response:
    """The project `pretrained` comes first, then `default`."""
    return _answer(PRETRAINED_PROJECT, DEFAULT_PROJECT, name=model)


def _answer(*projects: str, name: str) -> Response:
    wanted = request.args.get("details", "").lower()
    if wanted not in BOOLEANS:
        raise Problem(400, "PARAMETER_INVALID", "details: expected true or false.")
    with leased_model(*projects, name=name) as model:
        prediction = predict_one(model)
        if not BOOLEANS[wanted]:
            return jsonify(bare_scores(prediction))
        return jsonify(full_answer(model, prediction, g.request_id, g.started, queue_seconds(request.environ)))
