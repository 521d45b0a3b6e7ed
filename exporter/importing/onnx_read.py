"""Read an ONNX file and say what it takes and gives. Refuses what no server of ours would run as it does here.

In this order: size, parse (weights beside it are taken in), full check, operators, the one input, the one output.
Never runs the graph.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto

from bundle.reasons import first_line
from exporter.errors import ExportError
from exporter.importing.preprocessing import Preprocessing

DTYPES: Final = {TensorProto.FLOAT: "float32", TensorProto.FLOAT16: "float16", TensorProto.UINT8: "uint8"}
DOMAINS: Final = ("", "ai.onnx", "ai.onnx.ml")
LEAST_OPSET: Final = 7  # from which on Mul and Add broadcast
LARGEST_BYTES: Final = 2**31 - 1  # of one protobuf message
_PASSING: Final = ("Identity", "Flatten", "Reshape", "Squeeze", "Cast")


@dataclass(frozen=True)
class Input:
    """batch: None where any is taken.  height, width: None where any."""

    name: str
    dtype: Literal["float32", "float16", "uint8"]
    layout: Literal["nchw", "nhwc"]
    batch: int | None
    height: int | None
    width: int | None


@dataclass(frozen=True)
class Output:
    """activation: the last operator, Softmax or Sigmoid, and before: the tensor that goes into it; None otherwise."""

    name: str
    activation: Literal["Softmax", "LogSoftmax", "Sigmoid"] | None
    before: str | None


def read_onnx(path: Path) -> tuple[onnx.ModelProto, str]:
    """The model with all its weights, and a SHA-256 of it. Raises ExportError."""
    try:
        size = path.stat().st_size
        _check_size(path, size)
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise ExportError(
            f"{path}: expected an ONNX model, found {error.strerror or error}. Check the path."
        ) from error
    except (DecodeError, ValueError) as error:
        raise ExportError(
            f"{path}: expected an ONNX model, found another or a damaged file. Export it again."
        ) from error
    if not model.graph.node:
        found = "an empty file" if not size else "a file without a graph"
        raise ExportError(f"{path}: expected an ONNX model, found {found}. Export or copy it again.")
    places = _external_files(model)
    halves = [
        tensor
        for graph in graphs_of(model.graph)
        for tensor in graph.initializer
        if tensor.data_type == TensorProto.FLOAT16
    ]
    widened = sum(2 * math.prod(tensor.dims) for tensor in halves)  # bytes more, once they are floats of 32 bits
    try:
        _check_size(path, size + widened + sum((path.parent / place).stat().st_size for place in places))
        onnx.load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        names = ", ".join(sorted(places)) or "none"
        raise ExportError(
            f"{path}: expected its external weights ({names}) beside it, found: {first_line(error)}. Copy them there"
            " too."
        ) from error
    _check_operators(path, model)
    try:
        onnx.checker.check_model(
            str(path), full_check=True
        )  # from the file: to hand the model over would copy it twice
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        raise ExportError(
            f"{path}: expected a model that passes ONNX {onnx.__version__}'s full check, found: {first_line(error)}."
            " Export it again."
        ) from error
    digest = hashlib.sha256()
    for each in (path, *(path.parent / place for place in sorted(places))):
        with each.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return model, digest.hexdigest()


def _check_size(path: Path, size: int) -> None:
    if size > LARGEST_BYTES:
        raise ExportError(
            f"{path}: expected a model of at most 2 GiB, weights included and in full precision, found"
            f" {size / 2**30:.2f} GiB. Use a smaller one."
        )


def graphs_of(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and those inside its nodes, at every depth."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                yield from graphs_of(inner)


def opset_of(model: onnx.ModelProto) -> int:
    return next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)


def find_input(path: Path, model: onnx.ModelProto, given: Preprocessing) -> Input:
    """The one input. given: whose layout counts where the shape leaves it open."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        found = ", ".join(value.name for value in inputs) or "none"
        raise ExportError(
            f"{path}: expected one input, the images; found {len(inputs)}: {found}. Export only that one."
        )
    value = inputs[0]
    dtype = DTYPES.get(value.type.tensor_type.elem_type)
    if dtype is None:
        kind = TensorProto.DataType.Name(value.type.tensor_type.elem_type)
        raise ExportError(f"{path}: input {value.name}: expected float32, float16 or uint8, found {kind}.")
    shape = _shape(value)
    if len(shape) != 4:
        raise ExportError(
            f"{path}: input {value.name}: expected 4 dimensions, images as NCHW or NHWC, found {_say(shape)}. Export it"
            " with images as input."
        )
    fitting = [layout for layout, place in (("nchw", 1), ("nhwc", 3)) if shape[place] in (3, None)]
    certain = [layout for layout, place in (("nchw", 1), ("nhwc", 3)) if shape[place] == 3]
    layouts = certain if len(certain) == 1 else fitting
    if given.layout is not None:
        layouts = [given.layout] if given.layout in fitting else []
    if not layouts:
        asked = f" in layout {given.layout}" if given.layout else ""
        raise ExportError(
            f"{path}: input {value.name}: expected 3 colour channels{asked}, found {_say(shape)}. Grey-scale and other"
            " channel counts are not served."
        )
    if len(layouts) > 1:
        raise ExportError(
            f"{path}: input {value.name}: NCHW or NHWC cannot be told from {_say(shape)}. Give --preprocessing as JSON,"
            ' with "layout": "nchw" or "nhwc".'
        )
    height, width = shape[2:] if layouts[0] == "nchw" else shape[1:3]
    return Input(value.name, dtype, layouts[0], shape[0], height, width)  # type: ignore[arg-type]


def find_output(path: Path, model: onnx.ModelProto, wanted: str | None) -> Output:
    """The one output of scores. wanted: its name, where there are several."""
    outputs = list(model.graph.output)
    names = ", ".join(value.name for value in outputs)
    if wanted is not None:
        fitting = [value for value in outputs if value.name == wanted]
        if not fitting:
            raise ExportError(f"{path}: expected an output {wanted!r}, found {names}. Check --output-name.")
    else:
        fitting = [value for value in outputs if _is_scores(value)] if len(outputs) > 1 else outputs
    if len(fitting) != 1:
        raise ExportError(
            f"{path}: expected one output of scores (batch, labels), found {names}. Name it with --output-name."
        )
    value = fitting[0]
    if not _is_scores(value):
        kind = TensorProto.DataType.Name(value.type.tensor_type.elem_type)
        raise ExportError(
            f"{path}: output {value.name}: expected floating-point scores (batch, labels), found {kind}"
            f" {_say(_shape(value))}. Onsight serves classifiers only."
        )
    return _activation(model, value.name)


def _activation(model: onnx.ModelProto, name: str) -> Output:
    """Look upward from an output, through nodes that leave values as they are, for the activation at the end."""
    producers = {out: node for node in model.graph.node for out in node.output}
    place: str = name
    while (node := producers.get(place)) is not None:
        if node.op_type in ("Softmax", "LogSoftmax", "Sigmoid") and node.domain in ("", "ai.onnx"):
            return Output(name, node.op_type, node.input[0])
        if node.op_type not in _PASSING:
            break
        place = node.input[0]
    return Output(name, None, None)


def _check_operators(path: Path, model: onnx.ModelProto) -> None:
    opset = opset_of(model)
    if not LEAST_OPSET <= opset <= onnx.defs.onnx_opset_version():
        raise ExportError(
            f"{path}: expected ONNX opset {LEAST_OPSET} to {onnx.defs.onnx_opset_version()}, found {opset or 'none'}."
            " Export it again with another opset, 17 for example."
        )
    local = {(function.domain, function.name) for function in model.functions}
    bodies = [node for function in model.functions for node in function.node]
    nodes = [node for graph in graphs_of(model.graph) for node in graph.node] + bodies
    if any(node.op_type == "DynamicQuantizeLinear" for node in nodes):
        raise ExportError(
            f"{path}: expected an answer that depends on one image alone, found DynamicQuantizeLinear, which rounds by"
            " all images of a batch. Quantise the model statically instead, as QDQ."
        )
    custom = sorted(
        {
            f"{node.domain}.{node.op_type}"
            for node in nodes
            if node.domain not in DOMAINS and (node.domain, node.op_type) not in local
        }
    )
    if custom:
        raise ExportError(
            f"{path}: expected standard ONNX operators, found {', '.join(custom[:5])}. They need code that a server may"
            " not have: export the model without them, and without a runtime's own optimisations."
        )


def _external_files(model: onnx.ModelProto) -> set[str]:
    tensors: list[Any] = []
    for graph in graphs_of(model.graph):
        tensors += graph.initializer
        tensors += [attribute.t for node in graph.node for attribute in node.attribute if attribute.HasField("t")]
    return {
        entry.value
        for tensor in tensors
        if tensor.data_location == TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }


def _is_scores(value: onnx.ValueInfoProto) -> bool:
    shape = _shape(value)
    floats = value.type.tensor_type.elem_type in (TensorProto.FLOAT, TensorProto.FLOAT16)
    known = value.type.tensor_type.HasField("shape")
    return floats and (not known or (len(shape) >= 2 and all(size in (1, None) for size in shape[2:])))


def _shape(value: onnx.ValueInfoProto) -> list[int | None]:
    return [dim.dim_value if dim.HasField("dim_value") else None for dim in value.type.tensor_type.shape.dim]


def _say(shape: list[int | None]) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"
