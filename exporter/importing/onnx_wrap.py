"""A foreign ONNX graph -> the shipped form: uint8 (batch,H,W,3) in, probabilities and logits out.

In this order: the batch is freed where it is fixed, half precision is widened, names are moved out of the way,
normalisation and layout are put before it, softmax or sigmoid behind. The weights' values stay as they are. Checks
and proves nothing: whoever calls it does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bundle.manifest import Task
from exporter.graph import INPUT, LOGITS, PROBABILITIES
from exporter.importing.onnx_read import Input, Output, graphs_of
from exporter.importing.preprocessing import Preprocessing
from trainer.onnx_graph import strip_metadata

INNER = "model/"
SMALLEST = 1e-30  # of a probability whose logarithm is taken
_LEAST_IR = 8  # from which on initializers need not be inputs, and functions exist


def wrap(
    model: onnx.ModelProto,
    taken: Input,
    given: Output,
    preprocessing: Preprocessing,
    *,
    size: tuple[int, int],
    outputs: int,
    task: Task,
    from_probabilities: bool,
) -> bytes:
    """ONNX bytes; the same model gives the same bytes.

    model: is changed on the way, since a large one has no room for a copy.  size: (height, width).  outputs: how many
    labels.  from_probabilities: whether the output's values are probabilities; logits are then what goes into the
    activation, or their logarithms where none is at the end.
    """
    if taken.batch is not None:
        _free_batch(model, taken.batch)
    _widen(model)
    _rename(model.graph)
    graph = model.graph
    before, weights, fed = _before(taken, preprocessing)
    scores = INNER + (given.before if from_probabilities and given.before is not None else given.name)
    behind = _behind(scores, task, logarithm=from_probabilities and given.before is None, weights=weights)
    for node in (node for each in graphs_of(graph) for node in each.node):
        for place, name in enumerate(node.input):
            if name == INNER + taken.name:
                node.input[place] = fed
    inner = list(graph.node)
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend([*before, *inner, *behind])
    graph.initializer.extend(weights)
    graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["batch", *size, 3]))
    for name in (PROBABILITIES, LOGITS):
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", outputs]))
    model.ir_version = max(model.ir_version, _LEAST_IR)
    _drop_unused(graph)
    strip_metadata(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _before(taken: Input, preprocessing: Preprocessing) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto], str]:
    """Nodes from INPUT to what the model takes, their constants, and the name of the last tensor."""
    factor, shift = preprocessing.factors()
    channel = 1 if taken.layout == "nchw" else 3
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []
    last = INPUT

    def add(kind: str, *inputs: str, **attributes: Any) -> None:
        nonlocal last
        out = f"prepared/{len(nodes)}"
        nodes.append(helper.make_node(kind, [last, *inputs], [out], name=out, **attributes))
        last = out

    def constant(name: str, values: np.ndarray) -> str:
        weights.append(numpy_helper.from_array(values, name))
        return name

    if taken.dtype != "uint8":
        add("Cast", to=TensorProto.FLOAT)
    if channel == 1:
        add("Transpose", perm=[0, 3, 1, 2])  # (N,H,W,3) -> (N,3,H,W)
    if preprocessing.channels == "bgr":
        add("Gather", constant("prepared/order", np.array([2, 1, 0], np.int64)), axis=channel)
    if not preprocessing.leaves_values:
        shape = (1, 3, 1, 1) if channel == 1 else (1, 1, 1, 3)
        add("Mul", constant("prepared/factor", factor.astype(np.float32).reshape(shape)))
        add("Add", constant("prepared/shift", shift.astype(np.float32).reshape(shape)))
    return nodes, weights, last


def _behind(scores: str, task: Task, *, logarithm: bool, weights: list[onnx.TensorProto]) -> list[onnx.NodeProto]:
    """Nodes from the model's scores to LOGITS and PROBABILITIES."""
    flat = "scores/flat" if logarithm else LOGITS
    nodes = [helper.make_node("Flatten", [scores], [flat], name="scores/flatten", axis=1)]  # (N,C,1,1) -> (N,C)
    if logarithm:
        weights += [
            numpy_helper.from_array(np.array(SMALLEST, np.float32), "scores/smallest"),
            numpy_helper.from_array(np.array(1, np.float32), "scores/one"),
        ]
        sides = [flat]
        if task is Task.MULTI_LABEL:
            nodes.append(helper.make_node("Sub", ["scores/one", flat], ["scores/rest"], name="scores/sub"))
            sides.append("scores/rest")
        for side in sides:
            nodes.append(helper.make_node("Max", [side, "scores/smallest"], [f"{side}/kept"], name=f"{side}/max"))
            out = LOGITS if len(sides) == 1 else f"{side}/log"
            nodes.append(helper.make_node("Log", [f"{side}/kept"], [out], name=f"{side}/logarithm"))
        if len(sides) == 2:
            nodes.append(helper.make_node("Sub", [f"{side}/log" for side in sides], [LOGITS], name="scores/odds"))
    if task is Task.SINGLE_LABEL:
        last = helper.make_node("Softmax", [LOGITS], [PROBABILITIES], name="scores/softmax", axis=1)
    else:
        last = helper.make_node("Sigmoid", [LOGITS], [PROBABILITIES], name="scores/sigmoid")
    return [*nodes, last]


def _free_batch(model: onnx.ModelProto, fixed: int) -> None:
    """Let a graph that was exported for one batch size take any: Reshape to that batch keeps its input's instead.

    What else has the size built in (a class token laid out for it, say) stays, and fails when it is run.
    """
    graph = model.graph
    fixed_values = {tensor.name for tensor in graph.initializer}  # and what follows from such alone
    constants = {tensor.name: tensor for tensor in graph.initializer}
    constants |= {
        node.output[0]: attribute.t
        for node in graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value"
    }
    for index, node in enumerate(graph.node):
        inner = any(attribute.type == onnx.AttributeProto.GRAPH for attribute in node.attribute)  # takes more, unsaid
        if fixed_values.issuperset(filter(None, node.input)) and not inner:
            fixed_values.update(node.output)  # of constants there is no batch
            continue
        if node.op_type != "Reshape" or node.input[1] not in constants:
            continue
        shape = numpy_helper.to_array(constants[node.input[1]]).copy()
        if not len(shape) or shape[0] != fixed or any(a.name == "allowzero" and a.i for a in node.attribute):
            continue
        shape[0] = 0  # Reshape: as the input's
        name = f"freed/{index}"
        graph.initializer.append(numpy_helper.from_array(shape, name))
        node.input[1] = name


def _widen(model: onnx.ModelProto) -> None:
    """float16 -> float32 throughout; every weight keeps its value."""
    attributes = [attribute for function in model.functions for node in function.node for attribute in node.attribute]
    for graph in graphs_of(model.graph):
        for tensor in graph.initializer:
            _widen_tensor(tensor)
        attributes += [attribute for node in graph.node for attribute in node.attribute]
        for value in (*graph.input, *graph.output, *graph.value_info):
            if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
                value.type.tensor_type.elem_type = TensorProto.FLOAT
    for attribute in attributes:
        if attribute.HasField("t"):
            _widen_tensor(attribute.t)
        if attribute.name in ("to", "dtype") and attribute.i == TensorProto.FLOAT16:
            attribute.i = TensorProto.FLOAT


def _widen_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT16:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))


def _rename(graph: onnx.GraphProto) -> None:
    """Put INNER before every name, at every depth alike, so that none meets one of ours."""
    for each in list(graphs_of(graph)):
        for node in each.node:
            node.name = INNER + node.name if node.name else ""
            for names in (node.input, node.output):
                for place, name in enumerate(names):
                    names[place] = INNER + name if name else name
        sparse = [part for tensor in each.sparse_initializer for part in (tensor.values, tensor.indices)]
        for part in (*each.input, *each.output, *each.value_info, *each.initializer, *sparse):
            part.name = INNER + part.name


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Take out nodes and weights that no output needs: an activation that was replaced, other outputs' branches."""
    needed = {PROBABILITIES, LOGITS}
    kept = []
    for node in reversed(list(graph.node)):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
            for attribute in node.attribute:
                for inner in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                    for each in graphs_of(inner):
                        needed.update(value.name for value in each.output)
                        needed.update(name for part in each.node for name in part.input)
    for place in reversed(range(len(graph.initializer))):  # one by one: a list of those that stay would be a copy
        if graph.initializer[place].name not in needed:
            del graph.initializer[place]
    del graph.node[:]
    graph.node.extend(reversed(kept))
