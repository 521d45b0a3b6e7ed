"""The Open Inference Protocol (v2), as tritonclient and KServe speak it.

A model takes images as BYTES (`image`: file contents, one element an image) or the preprocessed uint8 tensor (the
manifest's input). It answers with its graph's outputs, and with `decision`: the claimed labels of each image as JSON
text. A model of the project `default` goes by its name, one of another project by `project__name`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import numpy as np
from flask import Blueprint, Response, g, jsonify, request
from numpy.typing import NDArray

from bundle.decide import decide
from bundle.errors import ImageError
from bundle.manifest import Manifest
from bundle.preprocess import preprocess
from server.auth import public, requires
from server.context import context
from server.engines.protocol import LOGITS, PROBABILITIES
from server.models.model import ServedModel
from server.models.registry import ModelKey, Phase
from server.models.shelf import DEFAULT_PROJECT
from server.problems import Problem, problem_of
from server.request_facts import queue_seconds
from server.routes.pages import installed_version
from server.tokens import Scope
from server.uploads import read_body
from server.v2_tensors import InferRequest, OutputTensor, WantedOutput, encode_answer, parse_request

v2 = Blueprint("v2", __name__, url_prefix="/v2")

IMAGE_INPUT, DECISION = "image", "decision"
JSON_LENGTH_HEADER = "Inference-Header-Content-Length"
EXTENSIONS = ("binary_tensor_data", "classification", "model_repository", "model_configuration", "statistics")
NUMBER = re.compile(r"[0-9]{1,9}")


@contextmanager
def leased(name: str, version: str | None, wait_s: float = 0.0) -> Iterator[ServedModel]:
    """wait_s: for the first models. Not for mere questions: the threads that answer them answer health checks, too."""
    project, model_name = v2_key(name)
    with context().registry.lease((project,), model_name, wait_s, version) as model:
        g.model = model.label
        yield model


def v2_name(project: str, name: str) -> str:
    return name if project == DEFAULT_PROJECT else f"{project}__{name}"


def v2_key(name: str) -> ModelKey:
    """Project and name behind a name of this protocol; a model of `default` comes first where both could be meant."""
    registry = context().registry
    project, separator, rest = name.partition("__")
    known = {(one.project, one.name) for one in registry.standby} | registry.table.slots.keys()
    return (project, rest) if separator and rest and (DEFAULT_PROJECT, name) not in known else (DEFAULT_PROJECT, name)


@v2.get("")
@requires(Scope.PREDICT)
def server_metadata() -> Response:
    return jsonify(name="onsight", version=installed_version(), extensions=list(EXTENSIONS))


@v2.get("/health/live")
@public
def live() -> Response:
    return jsonify(live=True)


@v2.get("/health/ready")
@public
def ready() -> tuple[Response, int]:
    parts = context()
    is_ready = parts.registry.phase is Phase.READY and not parts.lifecycle.draining
    return jsonify(ready=is_ready), 200 if is_ready else 503


@v2.get("/models/<name:name>", defaults={"version": None})
@v2.get("/models/<name:name>/versions/<name:version>")
@requires(Scope.PREDICT)
def model_metadata(name: str, version: str | None) -> Response:
    with leased(name, version) as model:
        manifest = model.manifest
        versions = [
            each.manifest.version
            for each in context().registry.models
            if (each.facts.project, each.manifest.name) == (model.facts.project, manifest.name)
        ]
        return jsonify(
            name=name, versions=versions, platform=f"onnxruntime_{model.engine.providers[0]}",
            inputs=_inputs(manifest), outputs=_outputs(manifest),
        )  # fmt: skip


@v2.get("/models/<name:name>/ready", defaults={"version": None})
@v2.get("/models/<name:name>/versions/<name:version>/ready")
@requires(Scope.PREDICT)
def model_ready(name: str, version: str | None) -> Response:
    with leased(name, version) as model:
        return jsonify(name=name, version=model.manifest.version, ready=True)


@v2.get("/models/<name:name>/config", defaults={"version": None})
@v2.get("/models/<name:name>/versions/<name:version>/config")
@requires(Scope.PREDICT)
def model_config(name: str, version: str | None) -> Response:
    """Triton's configuration, as far as it has a meaning here; its shapes leave the batch out."""
    with leased(name, version) as model:
        manifest = model.manifest
        return jsonify(
            name=name,
            platform="onnxruntime_onnx",
            backend="onnxruntime",
            max_batch_size=context().settings.max_images_per_request,
            version_policy={"latest": {"num_versions": 1}},
            input=[_config(tensor) for tensor in _inputs(manifest)],
            output=[_config(tensor) for tensor in _outputs(manifest)],
            parameters={"labels": {"string_value": json.dumps(manifest.labels, ensure_ascii=False)}},
        )


@v2.post("/models/<name:name>/infer", defaults={"version": None})
@v2.post("/models/<name:name>/versions/<name:version>/infer")
@requires(Scope.PREDICT)
def infer(name: str, version: str | None) -> Response:
    settings = context().settings
    header = request.headers.get(JSON_LENGTH_HEADER)
    if header is not None and not NUMBER.fullmatch(header):
        raise Problem(400, "V2_REQUEST_INVALID", f"{JSON_LENGTH_HEADER}: expected a whole number.")
    with leased(name, version, settings.load_wait_s) as model:
        body = read_body(request, settings.max_request_bytes)
        asked = parse_request(body, None if header is None else int(header), settings.max_images_per_request)
        images = _images(model, asked)
        decoded = perf_counter()
        probabilities, logits = model.infer_arrays(images)
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


def _inputs(manifest: Manifest) -> list[dict[str, Any]]:
    spec = manifest.preprocessing
    return [
        {"name": IMAGE_INPUT, "datatype": "BYTES", "shape": [-1]},
        {"name": manifest.input.name, "datatype": "UINT8", "shape": [-1, spec.height, spec.width, 3]},
    ]


def _outputs(manifest: Manifest) -> list[dict[str, Any]]:
    labels = len(manifest.labels)
    return [
        {"name": PROBABILITIES, "datatype": "FP32", "shape": [-1, labels]},
        {"name": LOGITS, "datatype": "FP32", "shape": [-1, labels]},
        {"name": DECISION, "datatype": "BYTES", "shape": [-1, 1]},
    ]


def _config(tensor: dict[str, Any]) -> dict[str, Any]:
    kind = {"BYTES": "TYPE_STRING", "UINT8": "TYPE_UINT8", "FP32": "TYPE_FP32"}[tensor["datatype"]]
    return {"name": tensor["name"], "data_type": kind, "dims": tensor["shape"][1:] or [1]}


def _refused(detail: str) -> Problem:
    return Problem(400, "V2_REQUEST_INVALID", detail)
