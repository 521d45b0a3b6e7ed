"""The cloud product's calls, so that its users only change the host name.

`/api/predict/{project}/{model}` and `/api/pm-predict/{model}`, with and without a trailing slash. The answer is a bare
list of labels and scores from 0 to 100; `?details=true` gives the full answer of /v1 instead.
"""

from __future__ import annotations

from flask import Blueprint, g, request

from server.auth import requires
from server.models.shelf import DEFAULT_PROJECT
from server.openapi.describe import BINARY, Content, Group, Parameter, described
from server.openapi.problems import ANSWERING, UPLOAD
from server.problems import Problem
from server.request_facts import queue_seconds
from server.routes.answers import (
    BARE_EXAMPLE,
    BareScore,
    FullAnswer,
    bare_scores,
    full_answer,
    leased_model,
    predict_one,
)
from server.tokens import Scope

PRETRAINED_PROJECT = "pretrained"
BOOLEANS = {"true": True, "1": True, "false": False, "0": False, "": False}

cloud = Blueprint("cloud", __name__, url_prefix="/api")

DETAILS = Parameter(
    "details", "query", "`true`: the full answer of `/v1/predict` in place of the bare list.",
    {"type": "string", "enum": list(BOOLEANS)},
)  # fmt: skip
ONE_FILE = {
    "type": "object",
    "properties": {"image": BINARY},
    "required": ["image"],
}
IMAGE_BODY = (
    Content("application/octet-stream", BINARY, "The bytes of the image file: JPEG, PNG, WebP, TIFF, BMP or GIF."),
    Content(
        "multipart/form-data",
        ONE_FILE,
        "A form with one file, whatever the name of its field; other fields are ignored.",
    ),
)
PROBLEMS = (*ANSWERING, *UPLOAD, "PARAMETER_INVALID")


@cloud.post("/predict/<name:project>/<name:model>")
@requires(Scope.PREDICT)
@described(
    Group.PREDICT, "Classify an image, as cloud clients do",
    parameters=(DETAILS,), body=IMAGE_BODY, example=BARE_EXAMPLE, problems=PROBLEMS,
)  # fmt: skip
def predict(project: str, model: str) -> list[BareScore] | FullAnswer:
    """Every label with its score, the highest first. Any content type but JSON carries an image."""
    return _answer(project, name=model)


@cloud.post("/pm-predict/<name:model>")
@requires(Scope.PREDICT)
@described(
    Group.PREDICT, "Classify an image with a pre-trained model",
    parameters=(DETAILS,), body=IMAGE_BODY, example=BARE_EXAMPLE, problems=PROBLEMS,
)  # fmt: skip
def predict_pretrained(model: str) -> list[BareScore] | FullAnswer:
    """The same without a project: `pretrained` comes first, then `default`."""
    return _answer(PRETRAINED_PROJECT, DEFAULT_PROJECT, name=model)


def _answer(*projects: str, name: str) -> list[BareScore] | FullAnswer:
    wanted = request.args.get("details", "").lower()
    if wanted not in BOOLEANS:
        raise Problem(400, "PARAMETER_INVALID", "details: expected true or false.")
    with leased_model(*projects, name=name) as model:
        prediction = predict_one(model)
        if not BOOLEANS[wanted]:
            return bare_scores(prediction)
        return full_answer(model, prediction, g.request_id, g.started, queue_seconds(request.environ))
