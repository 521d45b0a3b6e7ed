"""Static int8 quantisation for CPUs: float graph + training images -> QDQ graph that ONNX Runtime runs in integers.

In this order: fold and fuse the graph, find what stays in float, correct biases for the rounding of weights, calibrate
activations (their extremes on the images), insert quantise and dequantise pairs. Activations are u8, weights s8 per
output channel. The same graph and images give the same bytes. Never looks at an image that was held out.

What was measured to matter, on MobileNetV2 (docs/adr/0007-int8.md):

- Weights of matrix products have 7 bits: without VNNI a CPU adds pairs of u8 x s8 products in 16 bits, which 8 bits
  overflow without a word. So one file is right on every CPU. Depthwise kernels add in 32 bits: theirs keep 8.
- Rounding shifts a channel's mean, which 7 bits make felt; the bias takes the shift back.
- Normalisation and the first convolution stay in float: over three channels float is the faster, and the input exact.
- The head stays in float: it is a small part of the work, and its logits tell the unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import QuantType

from exporter.graph import INPUT
from exporter.variants.regions import float_nodes
from exporter.variants.rewrite import quantized, rewrite

PRODUCTS = ("MatMul", "Gemm")
# Between two convolutions all stays in integers; the matrix products of a transformer take integers and give floats.
AROUND_CONVOLUTIONS = ("Conv", "Add", "Clip", "Relu", "MaxPool", "AveragePool", "GlobalAveragePool", *PRODUCTS)


def quantize_int8(graph: bytes, images: NDArray[np.uint8]) -> bytes:
    """ONNX bytes of the int8 form. images: uint8 (N,H,W,3) of the training split, preprocessed.

    Raises ExportError where the graph cannot be quantised.
    """

    def change(model: onnx.ModelProto) -> onnx.ModelProto:
        kept, op_types = float_nodes(model.graph), _op_types(model.graph)
        _correct_biases(model, images, kept)
        return quantized(
            model,
            images,
            kept,
            op_types_to_quantize=list(op_types),
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            extra_options={
                "TensorQuantOverrides": _eight_bits(model.graph),
                "OpTypesToExcludeOutputQuantization": list(PRODUCTS) if op_types == PRODUCTS else [],
            },
        )

    return rewrite(graph, change, "quantised")


def _op_types(graph: onnx.GraphProto) -> Sequence[str]:
    kinds = [node.op_type for node in graph.node]
    return AROUND_CONVOLUTIONS if kinds.count("Conv") > sum(map(kinds.count, PRODUCTS)) else PRODUCTS


def _is_depthwise(node: onnx.NodeProto, weight: onnx.TensorProto) -> bool:
    group = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
    return bool(group > 1 and weight.dims[1] == 1)


def _eight_bits(graph: onnx.GraphProto) -> dict[str, list[dict[str, Any]]]:
    """The quantiser's options for the weights of depthwise convolutions."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    return {
        node.input[1]: [{"quant_type": QuantType.QInt8, "axis": 0, "reduce_range": False}]
        for node in graph.node
        if node.op_type == "Conv" and node.input[1] in weights and _is_depthwise(node, weights[node.input[1]])
    }


def _correct_biases(model: onnx.ModelProto, images: NDArray[np.uint8], kept: set[str]) -> None:
    """Take from each convolution's bias what the rounding of its weights adds to the mean of its outputs.

    Borders are counted as if the mean went on beyond them.  Source: Nagel et al. 2019, section 4.2.
    """
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    convolutions = [
        node
        for node in model.graph.node
        if node.op_type == "Conv"
        and node.name not in kept
        and len(node.input) == 3
        and set(node.input[1:]) <= set(tensors)
    ]
    means = _channel_means(model, sorted({node.input[0] for node in convolutions}), images)
    for node in convolutions:
        weight, bias = (numpy_helper.to_array(tensors[name]).astype(np.float64) for name in node.input[1:])
        largest = 127 if _is_depthwise(node, tensors[node.input[1]]) else 64  # the quantiser's, of 8 and of 7 bits
        scale = np.abs(weight).max(axis=(*range(1, weight.ndim),), keepdims=True) / largest  # (O,1,1,1)
        scale[scale == 0] = 1
        rounded = np.clip(np.round(weight / scale), -largest, largest) * scale
        error = (rounded - weight).sum(axis=(*range(2, weight.ndim),))  # (O,I/g,h,w) -> (O,I/g)
        groups = len(means[node.input[0]]) // weight.shape[1]
        mean = means[node.input[0]].reshape(groups, -1)  # (I,) -> (g,I/g)
        shift = (error.reshape(groups, -1, weight.shape[1]) * mean[:, None]).sum(-1).ravel()  # (g,O/g,I/g) -> (O,)
        tensors[node.input[2]].CopyFrom(
            numpy_helper.from_array((bias - shift).astype(np.float32), tensors[node.input[2]].name)
        )


def _channel_means(
    model: onnx.ModelProto, names: Sequence[str], images: NDArray[np.uint8]
) -> dict[str, NDArray[np.float64]]:
    """Tensor (1,I,h,w) -> mean (I,) over images and pixels."""
    if not names:
        return {}
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    sums: dict[str, Any] = dict.fromkeys(names, 0.0)
    for image in images:
        for name, found in zip(names, session.run(list(names), {INPUT: image[None]}), strict=True):
            sums[name] = sums[name] + found.mean(axis=(0, *range(2, found.ndim)), dtype=np.float64)
    return {name: total / len(images) for name, total in sums.items()}
