"""The int8 form for TensorRT: a graph of its own, since that parser refuses what CPUs run fastest, and the reverse.

In this order: fold and fuse the graph, calibrate activations (their extremes on the images), insert quantise and
dequantise pairs before convolutions and matrix products. All symmetric around zero: activations s8, weights s8 of full
8 bits per output channel; biases stay floats. A GPU adds products in 32 bits, where nothing overflows. The same graph
and images give the same bytes. Never looks at an image that was held out.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType

from exporter.variants.regions import float_nodes
from exporter.variants.rewrite import quantized, rewrite

PRODUCTS: Final = ("Conv", "Gemm", "MatMul")


def quantize_int8_tensorrt(graph: bytes, images: NDArray[np.uint8]) -> bytes:
    """ONNX bytes of the form. images: uint8 (N,H,W,3) of the training split, preprocessed.

    Raises ExportError where the graph cannot be quantised.
    """

    def change(model: onnx.ModelProto) -> onnx.ModelProto:
        return quantized(
            model,
            images,
            float_nodes(model.graph),
            op_types_to_quantize=list(PRODUCTS),
            reduce_range=False,
            activation_type=QuantType.QInt8,
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                "AddQDQPairToWeight": True,
                "QuantizeBias": False,
                "OpTypesToExcludeOutputQuantization": list(PRODUCTS),
            },
        )

    return rewrite(graph, change, "quantised")
