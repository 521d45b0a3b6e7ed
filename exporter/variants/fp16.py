"""The fp16 form, for GPUs: weights and arithmetic in 16-bit floats, images in and scores out as in full precision.

In this order: fold and fuse the graph, choose what stays in 32 bits, then node by node round weights and cast where the
two meet. What stays: what prepares the image, the head with temperature and probabilities, and operators whose sums or
powers do not fit. Between two nodes that stay nothing is rounded, which is why no ready converter is used: those round
behind every node. The same graph gives the same bytes. Needs no image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from exporter.errors import ExportError
from exporter.variants.regions import head_nodes, nodes_before_first_convolution
from exporter.variants.rewrite import rewrite

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
# Sums over many values, squares among them, soon pass 65504, the largest number of 16 bits; constants need no speed.
IN_FULL_PRECISION: Final = (
    "Softmax", "LogSoftmax", "LayerNormalization", "InstanceNormalization", "GroupNormalization", "ReduceL2",
    "ReduceSum", "ReduceSumSquare", "Pow", "Constant", "ConstantOfShape", "Range",
)  # fmt: skip


def convert_fp16(graph: bytes) -> bytes:
    """ONNX bytes of the fp16 form. Raises ExportError where the graph cannot be converted."""
    return rewrite(graph, _halved, "converted")


def _halved(model: onnx.ModelProto) -> onnx.ModelProto:
    typed = onnx.shape_inference.infer_shapes(model)
    _Halving(typed).run()
    onnx.checker.check_model(typed, full_check=True)
    return typed


class _Halving:
    """One graph, changed in place. Its tensors' types must have been inferred."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph = model.graph
        self._opset = next(each.version for each in model.opset_import if each.domain == "")
        self._weights = {tensor.name: tensor for tensor in self._graph.initializer}
        values = (*self._graph.value_info, *self._graph.input, *self._graph.output)
        self._floats = {value.name for value in values if value.type.tensor_type.elem_type == FLOAT}
        self._floats |= {name for name, tensor in self._weights.items() if tensor.data_type == FLOAT}
        self._halves: set[str] = set()  # tensors that are in 16 bits now
        self._cast: dict[tuple[str, int], str] = {}
        self._nodes: list[onnx.NodeProto] = []

    def run(self) -> None:
        graph = self._graph
        outputs = {value.name for value in graph.output}
        kept = nodes_before_first_convolution(graph) | head_nodes(graph)
        for node in list(graph.node):
            if any(attribute.type == onnx.AttributeProto.GRAPH for attribute in node.attribute):
                raise ExportError(f"{node.op_type}: expected no graph within the graph, found one")
            stays = node.name in kept or node.op_type in IN_FULL_PRECISION or outputs.intersection(node.output)
            target = FLOAT if stays or node.domain else HALF
            self._convert(node, target)
            self._nodes.append(node)
        used = {name for node in self._nodes for name in node.input}
        weights = [tensor for name, tensor in self._weights.items() if name in used]
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(self._nodes)
        graph.initializer.extend(weights)

    def _convert(self, node: onnx.NodeProto, target: int) -> None:
        takes, gives = _parameters(node, self._opset)
        for place, (name, may_be_half) in enumerate(zip(node.input, takes, strict=False)):
            if name in self._floats:
                node.input[place] = self._as(name, target if may_be_half else FLOAT)
        if target == HALF:
            for attribute in node.attribute:
                if node.op_type == "Cast" and attribute.name == "to" and attribute.i == FLOAT:
                    attribute.i = HALF
            halves = zip(node.output, gives, strict=False)
            self._halves |= {name for name, may_be_half in halves if may_be_half and name in self._floats}

    def _as(self, name: str, target: int) -> str:
        """The name under which a float tensor is there in a type; a weight is rounded once, all else cast once."""
        if (name in self._halves) == (target == HALF):
            return name
        if (name, target) not in self._cast:
            named = self._cast[name, target] = f"{name}_{'fp16' if target == HALF else 'fp32'}"
            if name in self._weights:
                largest = np.finfo(np.float16).max
                values = numpy_helper.to_array(self._weights[name])
                rounded = np.where(np.isfinite(values), np.clip(values, -largest, largest), values).astype(np.float16)
                self._weights[named] = numpy_helper.from_array(rounded, named)
            else:
                self._nodes.append(helper.make_node("Cast", [name], [named], name=f"{named}_cast", to=target))
        return self._cast[name, target]


def _parameters(node: onnx.NodeProto, opset: int) -> tuple[Iterator[bool], Iterator[bool]]:
    """Of each input and each output, whether the operator's schema lets it be of 16 bits; the last one goes on."""
    if node.domain:
        return _going_on(()), _going_on(())
    schema = onnx.defs.get_schema(node.op_type, opset)
    allowed = {each.type_param_str: "tensor(float16)" in each.allowed_type_strs for each in schema.type_constraints}
    takes, gives = ([allowed.get(each.type_str, False) for each in side] for side in (schema.inputs, schema.outputs))
    return _going_on(takes), _going_on(gives)


def _going_on(flags: Sequence[bool]) -> Iterator[bool]:
    yield from flags
    while True:
        yield flags[-1] if flags else False
