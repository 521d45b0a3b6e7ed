"""The int8 form for TensorRT: a graph of its own, since that parser refuses what CPUs run fastest, and the reverse.

In this order: fold and fuse the graph, calibrate activations (their extremes on the images), insert quantise and
dequantise pairs before convolutions and matrix products. All symmetric around zero: activations s8, weights s8 of full
8 bits per output channel; biases stay floats. A GPU adds products in 32 bits, where nothing overflows. The same graph
and images give the same bytes. Never looks at an image that was held out.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from exporter.errors import ExportError
from exporter.variants.int8 import CalibrationImages, float_nodes
from exporter.variants.quiet import quiet
from trainer.onnx_graph import strip_metadata

PRODUCTS: Final = ("Conv", "Gemm", "MatMul")


def quantize_int8_tensorrt(graph: bytes, images: NDArray[np.uint8]) -> bytes:
    """ONNX bytes of the form. images: uint8 (N,H,W,3) of the training split, preprocessed.

    Raises ExportError where the graph cannot be quantised.
    """
    with tempfile.TemporaryDirectory(prefix="onsight-int8-") as name, quiet():
        source, prepared, out = (Path(name) / f"{stage}.onnx" for stage in ("source", "prepared", "int8"))
        source.write_bytes(graph)
        try:
            quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            model = onnx.load(prepared)
            quantize_static(
                model,
                str(out),
                CalibrationImages(images),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(PRODUCTS),
                nodes_to_exclude=sorted(float_nodes(model.graph)),
                per_channel=True,
                reduce_range=False,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                extra_options={
                    "ActivationSymmetric": True,
                    "WeightSymmetric": True,
                    "AddQDQPairToWeight": True,
                    "QuantizeBias": False,
                    "OpTypesToExcludeOutputQuantization": list(PRODUCTS),
                },
            )
            quantized = onnx.load(out)
        except Exception as error:  # the quantiser raises whatever it meets
            raise ExportError(f"the graph cannot be quantised ({type(error).__name__}: {error})") from error
    strip_metadata(quantized)
    data: bytes = quantized.SerializeToString(deterministic=True)
    return data
