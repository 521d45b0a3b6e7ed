"""Foreign models in small: an ONNX classifier in any form, and what it and its bundle answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader

from bundle.archive import read_archive
from bundle.manifest import parse_manifest
from bundle.preprocess import preprocess
from exporter.importing.make import ImportedModel
from exporter.importing.preprocessing import Preprocessing
from exporter.importing.proof_images import generated_files, generated_pixels
from exporter.parity import cpu_infer

EDGE = 16
LABELS = ("blue", "grün", "red, dark")


def classifier(
    path: Path,
    *,
    layout: str = "nchw",
    dtype: int = TensorProto.FLOAT,
    batch: int | str = "n",
    end: str | None = None,
    edge: int | str = EDGE,
    reshape: list[int] | None = None,
    domain: str = "",
    channels: int = 3,
    token: bool = False,
    outputs: int = 3,
    beside: bool = False,
    bias: bool = False,
) -> Path:
    """A convolution, a pooling, a matrix product: what classifiers are made of, in the form that is asked for."""
    random = np.random.default_rng(5)
    half = dtype == TensorProto.FLOAT16
    kind = np.float16 if half else np.float32
    weights = {
        "kernel": random.normal(0, 0.3, (8, channels, 3, 3)).astype(kind),
        "product": random.normal(0, 1.0, (8, outputs)).astype(kind),
    }
    shape = [batch, channels, edge, edge] if layout == "nchw" else [batch, edge, edge, channels]
    nodes, last = [], "images"  # a name that is also one of ours
    if dtype == TensorProto.UINT8:
        nodes += [
            helper.make_node("Cast", [last], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Div", ["floats", "full"], ["scaled"]),
        ]
        weights["full"] = np.array(255, np.float32)
        last = "scaled"
    if layout == "nhwc":
        nodes.append(helper.make_node("Transpose", [last], ["planes"], perm=[0, 3, 1, 2]))
        last = "planes"
    nodes += [
        helper.make_node("Conv", [last, "kernel"], ["convolved"], domain=domain),
        helper.make_node("Relu", ["convolved"], ["bent"]),
        helper.make_node("GlobalMaxPool", ["bent"], ["pooled"]),
    ]
    if reshape is None:
        nodes.append(helper.make_node("Flatten", ["pooled"], ["features"]))
    else:
        weights["shape"] = np.array(reshape, np.int64)
        nodes.append(helper.make_node("Reshape", ["pooled", "shape"], ["features"]))
    if bias:  # [8], made a row by a Reshape of its own
        weights |= {"bias": random.normal(0, 1.0, 8).astype(kind), "row": np.array([1, 8], np.int64)}
        nodes += [helper.make_node("Reshape", ["bias", "row"], ["biases"])]
        nodes[-2].output[0] = "unbiased"
        nodes += [helper.make_node("Add", ["unbiased", "biases"], ["features"])]
    if token:  # laid out for one image, as a class token is by an export with a fixed batch
        weights |= {"token": np.ones((1, 8), kind), "product": random.normal(0, 1.0, (16, 3)).astype(kind)}
        nodes.append(helper.make_node("Concat", ["features", "token"], ["joined"], axis=1))
    nodes.append(helper.make_node("MatMul", ["joined" if token else "features", "product"], ["scores"]))
    out = "scores"
    if end == "Softmax by hand":
        nodes += [
            helper.make_node("Exp", ["scores"], ["powers"]),
            helper.make_node("ReduceSum", ["powers", "axes"], ["sum"], keepdims=1),
            helper.make_node("Div", ["powers", "sum"], ["logits"]),
        ]
        weights["axes"] = np.array([1], np.int64)
        out = "logits"
    elif end is not None:
        nodes.append(helper.make_node(end, ["scores"], ["logits"]))
        out = "logits"
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("images", dtype, shape)],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT16 if half else TensorProto.FLOAT, [batch, count])
            for name, count in ([("features", 8)] if beside else []) + [(out, outputs)]
        ],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def original_answers(path: Path, prepared: Preprocessing, layout: str, dtype: str) -> NDArray[Any]:
    """What ONNX Runtime says of the generated images, one at a time, from the file as it is."""
    session = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    answers = []
    for data in generated_files(8):
        pixels = preprocess(data, prepared.spec(EDGE, EDGE))[None].astype(np.float64)
        if prepared.channels == "bgr":
            pixels = pixels[..., ::-1]
        values = (pixels * prepared.scale - np.asarray(prepared.mean)) / np.asarray(prepared.std)
        values = values.transpose(0, 3, 1, 2) if layout == "nchw" else values
        answers.append(session.run(None, {"images": np.ascontiguousarray(values.astype(dtype))})[0])
    return np.concatenate(answers).astype(np.float32)


def bundle_answers(made: ImportedModel, spec_of: Preprocessing) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    files = read_archive(made.path)
    assert parse_manifest(files["manifest.json"]) == made.manifest
    infer = cpu_infer(files["model.onnx"])
    return infer(np.stack([preprocess(data, spec_of.spec(EDGE, EDGE)) for data in generated_files(8)]))


class Pixels(CalibrationDataReader):
    def __init__(self, prepared: Preprocessing) -> None:
        images = generated_pixels(EDGE, EDGE, 8)
        self._next = iter(prepared.values(images).transpose(0, 3, 1, 2)[:, None])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        image = next(self._next, None)
        return None if image is None else {"images": np.ascontiguousarray(image)}
