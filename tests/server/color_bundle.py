"""A tiny real model in a real signed bundle: mean colour -> three logits -> softmax. All tests of the server use it."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from bundle.archive import read_archive, write_archive
from bundle.golden import Golden
from bundle.keys import SigningKey
from bundle.manifest import (
    BackboneFacts,
    DatasetFacts,
    FileEntry,
    Manifest,
    MetricEstimate,
    ParityReport,
    PreprocessSpec,
    Task,
    TensorSpec,
    UnknownRejection,
    Variant,
)
from bundle.pack import describe_files, pack_bundle
from bundle.preprocess import preprocess
from bundle.sealed import Recipient
from licenses.identity import InstallIdentity

LABELS = ("red", "green", "blue")
SIDE = 32


def color_png(red: int, green: int, blue: int, size: tuple[int, int] = (64, 48)) -> bytes:
    """A PNG of one colour. size: (width, height)."""
    out = io.BytesIO()
    Image.new("RGB", size, (red, green, blue)).save(out, "PNG")
    return out.getvalue()


RED, GREEN, BLUE, GREY = color_png(220, 20, 20), color_png(20, 220, 20), color_png(20, 20, 220), color_png(90, 90, 90)


def color_graph(gain: float = 0.04, fixed_batch: bool = False) -> bytes:
    """uint8 (batch, 32, 32, 3) -> mean over rows and columns -> x gain -> logits (batch, 3), probabilities."""
    batch: int | str = 1 if fixed_batch else "batch"
    weight = numpy_helper.from_array(np.eye(3, dtype=np.float32) * np.float32(gain), "weight")
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["means"], keepdims=0),  # (N,H,W,3) -> (N,3)
        helper.make_node("MatMul", ["means", "weight"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "colour",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, [batch, SIDE, SIDE, 3])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [batch, 3]),
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 3]),
        ],
        [weight, numpy_helper.from_array(np.array([1, 2], np.int64), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def slow_graph(gain: float, width: int = 1536) -> bytes:
    """The colour graph with two large products beside it, whose sum is added zero times: 100 times as slow.

    width: of the larger product, whose time is its square.
    """
    model = onnx.load_from_string(color_graph(gain))
    graph = model.graph
    random = np.random.default_rng(0)
    for name, shape in (("wide", (96, width)), ("square", (width, width))):
        graph.initializer.append(numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name))
    graph.initializer.append(numpy_helper.from_array(np.array([0, SIDE, 3 * SIDE], np.int64), "rows"))
    graph.initializer.append(numpy_helper.from_array(np.float32(0), "nothing"))
    product = next(node for node in graph.node if node.op_type == "MatMul")
    place = list(graph.node).index(product) + 1
    product.output[0] = "fast"
    beside = [
        helper.make_node("Reshape", ["floats", "rows"], ["flat"]),  # (N,H,W,3) -> (N,H,3W)
        helper.make_node("MatMul", ["flat", "wide"], ["first"]),
        helper.make_node("MatMul", ["first", "square"], ["second"]),
        helper.make_node("ReduceMean", ["second", "axes"], ["summed"], keepdims=0),  # (N,H,width) -> (N,)
        helper.make_node("ReduceMean", ["summed"], ["scalar"], keepdims=0),
        helper.make_node("Mul", ["scalar", "nothing"], ["zero"]),
        helper.make_node("Add", ["fast", "zero"], ["logits"]),
    ]
    for offset, node in enumerate(beside):
        graph.node.insert(place + offset, node)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def run_graph(graph: bytes, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    probabilities, logits = session.run(["probabilities", "logits"], {"images": images})
    return probabilities, logits


def make_manifest(graph: bytes, files: tuple[FileEntry, ...], name: str, version: str) -> Manifest:
    parity = ParityReport(images=3, batch_sizes=(1, 2), max_difference=1e-7, tolerance=1e-4, decisions_flipped=0)
    digest = hashlib.sha256(b"no training").hexdigest()
    return Manifest(
        model_id=hashlib.sha256(graph).hexdigest(),
        name=name,
        version=version,
        created_at="2026-01-02T03:04:05Z",
        task=Task.SINGLE_LABEL,
        labels=LABELS,
        thresholds=(0.5, 0.5, 0.5),
        unknown=UnknownRejection(energy_threshold=5.0, known_rejected_fraction=0.05),
        preprocessing=PreprocessSpec(height=SIDE, width=SIDE),
        input=TensorSpec(name="images", dtype="uint8", shape=("batch", SIDE, SIDE, 3)),
        outputs=(
            TensorSpec(name="probabilities", dtype="float32", shape=("batch", 3)),
            TensorSpec(name="logits", dtype="float32", shape=("batch", 3)),
        ),
        backbone=BackboneFacts(name="mean-colour", sha256=digest, fine_tuned=False),
        dataset=DatasetFacts(snapshot_sha256=digest, images={"train": 3}, label_counts=dict.fromkeys(LABELS, 1)),
        metrics={"test": {"accuracy": MetricEstimate(value=1.0, low=0.9, high=1.0)}},
        variants=(Variant(name="fp32", precision="fp32", file="model.onnx", parity=parity),),
        files=files,
    )


def make_bundle(
    out: Path,
    key: SigningKey,
    name: str = "colours",
    version: str = "1",
    graph: bytes | None = None,
    golden_shift: float = 0.0,
) -> Path:
    """Pack a bundle that a server with `key` in its trust store serves.

    golden_shift: added to the golden probability of the first label and taken from the second: a model that does not
    reproduce its own scores.
    """
    graph = graph or color_graph()
    spec = PreprocessSpec(height=SIDE, width=SIDE)
    images = (RED, GREEN, BLUE)
    probabilities, logits = run_graph(color_graph(), np.stack([preprocess(image, spec) for image in images]))
    probabilities = probabilities.copy()
    probabilities[1, 0] += golden_shift
    files = {
        "model.onnx": graph,
        "golden.npz": Golden(images, probabilities, logits).to_bytes(),
        "card.md": b"# test\n",
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    pack_bundle(out, make_manifest(graph, describe_files(files), name, version), files, key)
    return out


def seal(path: Path, identity: InstallIdentity) -> Path:
    """Put the sealed form of this plain bundle in its place, for that install alone."""
    write_archive(path, read_archive(path), [Recipient(identity.recipient_public, identity.install_id)])
    return path
