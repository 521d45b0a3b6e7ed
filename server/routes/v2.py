"""The Open Inference Protocol (v2), as tritonclient and KServe speak it; `infer` has its own module.

Server, models, their readiness, configuration and statistics. Triton's repository calls are in `admin.py`.
"""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint

from bundle.manifest import Manifest
from server.auth import public, requires
from server.context import context
from server.engines.protocol import LOGITS, PROBABILITIES, is_ready
from server.engines.providers import TENSORRT
from server.models.registry import Phase
from server.openapi.describe import Answer, Content, Group, described
from server.openapi.problems import MODEL
from server.routes.pages import installed_version
from server.routes.v2_documents import (
    ConfigType,
    Datatype,
    ModelConfig,
    ModelMetadata,
    ModelReady,
    ServerMetadata,
    Statistics,
    TensorConfig,
    TensorMetadata,
    V2Live,
    V2Ready,
)
from server.routes.v2_names import NAME, leased
from server.routes.v2_statistics import statistics_of
from server.tokens import Scope

v2 = Blueprint("v2", __name__, url_prefix="/v2")

IMAGE_INPUT, DECISION = "image", "decision"
EXTENSIONS = ("binary_tensor_data", "classification", "model_repository", "model_configuration", "statistics")

METADATA_EXAMPLE: Any = {
    "name": "trash", "versions": ["1"], "platform": "onnxruntime_CPUExecutionProvider",
    "inputs": [
        {"name": "image", "datatype": "BYTES", "shape": [-1]},
        {"name": "images", "datatype": "UINT8", "shape": [-1, 224, 224, 3]},
    ],
    "outputs": [
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "logits", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "decision", "datatype": "BYTES", "shape": [-1, 1]},
    ],
}  # fmt: skip
CONFIG_EXAMPLE: Any = {
    "name": "trash", "platform": "onnxruntime_onnx", "backend": "onnxruntime", "max_batch_size": 64,
    "version_policy": {"latest": {"num_versions": 1}},
    "input": [
        {"name": "image", "data_type": "TYPE_STRING", "dims": [1]},
        {"name": "images", "data_type": "TYPE_UINT8", "dims": [224, 224, 3]},
    ],
    "output": [
        {"name": "probabilities", "data_type": "TYPE_FP32", "dims": [2]},
        {"name": "logits", "data_type": "TYPE_FP32", "dims": [2]},
        {"name": "decision", "data_type": "TYPE_STRING", "dims": [1]},
    ],
    "parameters": {"labels": {"string_value": '["cardboard", "paper"]'}},
}  # fmt: skip
STATISTICS_EXAMPLE: Any = {
    "model_stats": [{
        "name": "trash", "version": "1", "last_inference": 1767225600000, "inference_count": 12, "execution_count": 3,
        "inference_stats": {
            "success": {"count": 3, "ns": 96000000}, "fail": {"count": 1, "ns": 0},
            "queue": {"count": 3, "ns": 300000}, "compute_input": {"count": 3, "ns": 30000000},
            "compute_infer": {"count": 3, "ns": 60000000}, "compute_output": {"count": 3, "ns": 0},
            "cache_hit": {"count": 0, "ns": 0}, "cache_miss": {"count": 0, "ns": 0},
        },
        "batch_stats": [],
    }],
}  # fmt: skip


@v2.get("")
@requires(Scope.PREDICT)
@described(
    Group.V2, "The server's name, version and extensions",
    example={"name": "onsight", "version": "0.1.0", "extensions": list(EXTENSIONS)},
)  # fmt: skip
def server_metadata() -> ServerMetadata:
    return {"name": "onsight", "version": installed_version(), "extensions": list(EXTENSIONS)}


@v2.get("/health/live")
@public
@described(Group.WATCH, "Is it alive? (v2)", example={"live": True})
def live() -> V2Live:
    return {"live": True}


@v2.get("/health/ready")
@public
@described(
    Group.WATCH,
    "Does it want requests? (v2)",
    answers={
        200: Answer("Predictions are welcome.", (Content("application/json", V2Ready, example={"ready": True}),)),
        503: Answer("Not now.", (Content("application/json", V2Ready, example={"ready": False}),)),
    },
)
def ready() -> tuple[V2Ready, int]:
    parts = context()
    answers = all(is_ready(model.engine) for model in parts.registry.models)
    welcome = parts.registry.phase is Phase.READY and answers and not parts.lifecycle.draining
    return {"ready": welcome}, 200 if welcome else 503


@v2.get("/models/<name:name>", defaults={"version": None})
@v2.get("/models/<name:name>/versions/<version:version>")
@requires(Scope.PREDICT)
@described(Group.V2, "A model's inputs and outputs", parameters=(NAME,), example=METADATA_EXAMPLE, problems=MODEL)
def model_metadata(name: str, version: str | None) -> ModelMetadata:
    """Of the inputs, send one: files of images as BYTES, or the preprocessed tensor."""
    with leased(name, version) as model:
        manifest = model.manifest
        versions = [
            each.manifest.version
            for each in context().registry.models
            if (each.facts.project, each.manifest.name) == (model.facts.project, manifest.name)
        ]
        return {
            "name": name,
            "versions": versions,
            "platform": _platform(model.engine.providers[0]),
            "inputs": _inputs(manifest),
            "outputs": _outputs(manifest),
        }


@v2.get("/models/<name:name>/ready", defaults={"version": None})
@v2.get("/models/<name:name>/versions/<version:version>/ready")
@requires(Scope.PREDICT)
@described(
    Group.V2, "Does a model answer?",
    parameters=(NAME,), example={"name": "trash", "version": "1", "ready": True}, problems=MODEL,
)  # fmt: skip
def model_ready(name: str, version: str | None) -> ModelReady:
    with leased(name, version) as model:
        return {"name": name, "version": model.manifest.version, "ready": is_ready(model.engine)}


@v2.get("/models/<name:name>/config", defaults={"version": None})
@v2.get("/models/<name:name>/versions/<version:version>/config")
@requires(Scope.PREDICT)
@described(Group.V2, "A model's configuration", parameters=(NAME,), example=CONFIG_EXAMPLE, problems=MODEL)
def model_config(name: str, version: str | None) -> ModelConfig:
    """Triton's configuration, as far as it has a meaning here; its shapes leave the batch out."""
    with leased(name, version) as model:
        manifest = model.manifest
        return {
            "name": name,
            "platform": "onnxruntime_onnx",
            "backend": "onnxruntime",
            "max_batch_size": context().settings.max_images_per_request,
            "version_policy": {"latest": {"num_versions": 1}},
            "input": [_config(tensor) for tensor in _inputs(manifest)],
            "output": [_config(tensor) for tensor in _outputs(manifest)],
            "parameters": {"labels": {"string_value": json.dumps(manifest.labels, ensure_ascii=False)}},
        }


@v2.get("/models/<name:name>/stats", defaults={"version": None})
@v2.get("/models/<name:name>/versions/<version:version>/stats")
@requires(Scope.PREDICT)
@described(Group.V2, "A model's statistics", parameters=(NAME,), example=STATISTICS_EXAMPLE, problems=MODEL)
def model_statistics(name: str, version: str | None) -> Statistics:
    """Requests, images and times of all workers since the server was started: of this version, or of the highest."""
    with leased(name, version) as model:
        return {"model_stats": statistics_of([model])}


@v2.get("/models/stats")
@requires(Scope.PREDICT)
@described(Group.V2, "The statistics of all models", example=STATISTICS_EXAMPLE)
def all_statistics() -> Statistics:
    """Of all versions of all models that serve."""
    return {"model_stats": statistics_of(context().registry.models)}


def _platform(provider: str) -> str:
    """In Triton's way."""
    return "tensorrt_plan" if provider == TENSORRT else f"onnxruntime_{provider}"


def _inputs(manifest: Manifest) -> list[TensorMetadata]:
    spec = manifest.preprocessing
    return [
        {"name": IMAGE_INPUT, "datatype": "BYTES", "shape": [-1]},
        {"name": manifest.input.name, "datatype": "UINT8", "shape": [-1, spec.height, spec.width, 3]},
    ]


def _outputs(manifest: Manifest) -> list[TensorMetadata]:
    labels = len(manifest.labels)
    return [
        {"name": PROBABILITIES, "datatype": "FP32", "shape": [-1, labels]},
        {"name": LOGITS, "datatype": "FP32", "shape": [-1, labels]},
        {"name": DECISION, "datatype": "BYTES", "shape": [-1, 1]},
    ]


def _config(tensor: TensorMetadata) -> TensorConfig:
    kinds: dict[Datatype, ConfigType] = {"BYTES": "TYPE_STRING", "UINT8": "TYPE_UINT8", "FP32": "TYPE_FP32"}
    return {"name": tensor["name"], "data_type": kinds[tensor["datatype"]], "dims": tensor["shape"][1:] or [1]}
