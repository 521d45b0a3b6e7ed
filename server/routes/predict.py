"""The cloud product's calls, so that its users only change the host name.

`/api/predict/{project}/{model}` and `/api/pm-predict/{model}`, with and without a trailing slash. The answer is a bare
list of labels and scores from 0 to 100; `?details=true` gives the full answer of /v1 instead.
"""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from server.auth import requires
from server.models.model import Prediction, ServedModel
from server.models.shelf import DEFAULT_PROJECT
from server.problems import Problem
from server.routes.answers import bare_scores, full_answer, predict_request
from server.tokens import Scope

PRETRAINED_PROJECT = "pretrained"
BOOLEANS = {"true": True, "1": True, "false": False, "0": False, "": False}

cloud = Blueprint("cloud", __name__, url_prefix="/api")


@cloud.post("/predict/<name:project>/<name:model>")
@requires(Scope.PREDICT)
def predict(project: str, model: str) -> Response:
    return _answer(*predict_request(project, name=model))


@cloud.post("/pm-predict/<name:model>")
@requires(Scope.PREDICT)
def predict_pretrained(model: str) -> Response:
    """The project `pretrained` comes first, then `default`."""
    return _answer(*predict_request(PRETRAINED_PROJECT, DEFAULT_PROJECT, name=model))


def _answer(model: ServedModel, prediction: Prediction) -> Response:
    wanted = request.args.get("details", "").lower()
    if wanted not in BOOLEANS:
        raise Problem(400, "PARAMETER_INVALID", "details: expected true or false.")
    return jsonify(full_answer(model, prediction) if BOOLEANS[wanted] else bare_scores(prediction))
