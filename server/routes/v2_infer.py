"""`infer` of the Open Inference Protocol: tensors in, tensors out, as JSON or with the binary extension.

A model takes images as BYTES (`image`: file contents, one element an image) or the preprocessed uint8 tensor (the
manifest's input). It answers with its graph's outputs, and with `decision`: the claimed labels of each image as JSON
text.
"""

from __future__ import annotations

import json
import re
from time import perf_counter
from typing import Any

import numpy as np
from flask import Blueprint, Response, g, request
from numpy.typing import NDArray

from bundle.decide import decide
from bundle.errors import ImageError
from bundle.manifest import Manifest
from bundle.preprocess import preprocess
from server.auth import requires
from server.context import context
from server.engines.protocol import LOGITS, PROBABILITIES
from server.models.model import ServedModel
from server.openapi.describe import BINARY, Answer, Content, Group, Parameter, described
from server.openapi.problems import ANSWERING, IMAGE
from server.problems import Problem, problem_of
from server.request_facts import deadline_of, queue_seconds
from server.routes.v2 import DECISION, IMAGE_INPUT
from server.routes.v2_documents import InferAnswer, InferDocument
from server.routes.v2_names import NAME, leased
from server.tokens import Scope
from server.uploads import read_body
from server.v2_tensors import InferRequest, OutputTensor, WantedOutput, encode_answer, parse_request

v2_infer = Blueprint("v2_infer", __name__, url_prefix="/v2")

JSON_LENGTH_HEADER = "Inference-Header-Content-Length"
NUMBER = re.compile(r"[0-9]{1,9}")

JSON_LENGTH = Parameter(
    JSON_LENGTH_HEADER, "header", "The length of the JSON in bytes, where raw tensors follow it.",
    {"type": "string", "pattern": "^[0-9]{1,9}$"},
)  # fmt: skip
REQUEST_EXAMPLE: Any = {
    "inputs": [{"name": "images", "datatype": "UINT8", "shape": [1, 1, 2, 3], "data": [255, 0, 0, 0, 0, 255]}],
    "outputs": [{"name": "decision"}, {"name": "probabilities", "parameters": {"classification": 1}}],
}
ANSWER_EXAMPLE: Any = {
    "model_name": "trash", "model_version": "1", "id": "",
    "outputs": [
        {"name": "decision", "datatype": "BYTES", "shape": [1, 1],
         "data": ["{\"labels\": [\"paper\"], \"unknown\": false}"]},
        {"name": "probabilities", "datatype": "BYTES", "shape": [1, 1], "data": ["0.983724:4:paper"]},
    ],
}  # fmt: skip
TRITON_SAMPLE = """\
import json, os
from pathlib import Path

import numpy as np
import tritonclient.http as triton

client = triton.InferenceServerClient("localhost:8000")
image = triton.InferInput("image", [1], "BYTES")
image.set_data_from_numpy(np.array([Path("photo.jpg").read_bytes()], dtype=np.object_))
answer = client.infer("trash", [image], headers={"X-Auth-token": os.environ["ONSIGHT_TOKEN"]})
print(json.loads(answer.as_numpy("decision")[0, 0]))
print(answer.as_numpy("probabilities"))
"""


@v2_infer.post("/models/<name:name>/infer", defaults={"version": None})
@v2_infer.post("/models/<name:name>/versions/<version:version>/infer")
@requires(Scope.PREDICT)
@described(
    Group.V2,
    "Classify images as tensors",
    parameters=(NAME, JSON_LENGTH),
    body=(
        Content("application/json", InferDocument, example=REQUEST_EXAMPLE),
        Content("application/octet-stream", BINARY, f"JSON of {JSON_LENGTH_HEADER} bytes, then raw tensors in order."),
    ),
    answers={
        200: Answer(
            "Tensors as JSON; or JSON and raw tensors behind it, where binary ones were asked for.",
            (
                Content("application/json", InferAnswer, example=ANSWER_EXAMPLE),
                Content("application/octet-stream", BINARY, "As for the request."),
            ),
        )
    },
    problems=(*ANSWERING, *IMAGE, "V2_REQUEST_INVALID"),
    samples={"tritonclient": TRITON_SAMPLE},
)
def infer(name: str, version: str | None) -> Response:
    """The input `image` takes files of images as BYTES (with the binary extension: 4 bytes little-endian length, then
    the file); the model's own input takes preprocessed pixels as UINT8. Answers `probabilities`, `logits` and
    `decision`, or those that are asked for. Shared memory is not offered.
    """
    settings = context().settings
    header = request.headers.get(JSON_LENGTH_HEADER)
    if header is not None and not NUMBER.fullmatch(header):
        raise Problem(400, "V2_REQUEST_INVALID", f"{JSON_LENGTH_HEADER}: expected a whole number.")
    with leased(name, version, settings.load_wait_s) as model:
        body = read_body(request, settings.max_request_bytes)
        asked = parse_request(body, None if header is None else int(header), settings.max_images_per_request)
        images = _images(model, asked)
        decoded = perf_counter()
        probabilities, logits = model.infer_arrays(images, deadline_of(request.environ, settings.request_timeout_s))
        done = perf_counter()
        context().metrics.predicted(
            model, len(images), queue_seconds(request.environ), (decoded - g.started) * 1e3, (done - decoded) * 1e3,
            done - g.started,
        )  # fmt: skip
        outputs = _answers(model.manifest, asked, probabilities, logits)
        document = {"model_name": name, "model_version": model.manifest.version, "id": asked.id}
    answer, json_length = encode_answer(document, outputs)
    response = Response(answer, content_type="application/json" if json_length is None else "application/octet-stream")
    if json_length is not None:
        response.headers[JSON_LENGTH_HEADER] = str(json_length)
    return response


def _images(model: ServedModel, asked: InferRequest) -> NDArray[np.uint8]:
    """(N, H, W, 3) uint8 from either form of input."""
    manifest, spec = model.manifest, model.manifest.preprocessing
    if len(asked.inputs) != 1:
        raise _refused(f"Expected one input, {IMAGE_INPUT!r} or {manifest.input.name!r}, found {len(asked.inputs)}.")
    (given,) = asked.inputs
    if given.name == IMAGE_INPUT and not isinstance(given.data, np.ndarray):
        try:
            return np.stack([preprocess(data, spec, model.limits) for data in given.data])
        except ImageError as error:
            raise problem_of(error, g.request_id) from error
    if given.name == manifest.input.name and isinstance(given.data, np.ndarray) and given.datatype == "UINT8":
        if given.shape[1:] != (spec.height, spec.width, 3):
            raise _refused(
                f"input {given.name!r}: expected shape [N, {spec.height}, {spec.width}, 3], found {list(given.shape)}."
            )
        return given.data
    raise _refused(
        f"Expected the input {IMAGE_INPUT!r} as BYTES, or {manifest.input.name!r} as UINT8, found {given.name!r} as"
        f" {given.datatype}."
    )


def _answers(
    manifest: Manifest, asked: InferRequest, probabilities: NDArray[np.float32], logits: NDArray[np.float32]
) -> list[OutputTensor]:
    every = tuple(WantedOutput(name, asked.binary_default) for name in (PROBABILITIES, LOGITS, DECISION))
    return [_answer(manifest, wanted, probabilities, logits) for wanted in asked.outputs or every]


def _answer(
    manifest: Manifest, wanted: WantedOutput, probabilities: NDArray[np.float32], logits: NDArray[np.float32]
) -> OutputTensor:
    count = len(probabilities)
    if wanted.name == DECISION:
        decisions = [decide(manifest, probabilities[row], logits[row]) for row in range(count)]
        texts = [
            json.dumps({"labels": decision.labels, "unknown": decision.unknown}, ensure_ascii=False).encode()
            for decision in decisions
        ]
        return OutputTensor(DECISION, "BYTES", (count, 1), texts, wanted.binary)
    values = {PROBABILITIES: probabilities, LOGITS: logits}.get(wanted.name)
    if values is None:
        raise _refused(f"output: expected {PROBABILITIES!r}, {LOGITS!r} or {DECISION!r}, found {wanted.name!r}.")
    if wanted.classes:
        top = min(wanted.classes, len(manifest.labels))
        best = np.argsort(-values, axis=1, kind="stable")[:, :top]  # (N, C) -> (N, top)
        elements = [
            f"{values[row, place]:.6f}:{place}:{manifest.labels[place]}".encode()
            for row in range(count)
            for place in best[row]
        ]
        return OutputTensor(wanted.name, "BYTES", (count, top), elements, wanted.binary)
    return OutputTensor(wanted.name, "FP32", values.shape, values, wanted.binary)


def _refused(detail: str) -> Problem:
    return Problem(400, "V2_REQUEST_INVALID", detail)
