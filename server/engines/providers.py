"""What may run a model, by name. Knows no runtime, so that settings may read it."""

from __future__ import annotations

from typing import Final

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
TENSORRT: Final = "TensorRT"
"""NVIDIA TensorRT, driven directly. All other names are execution providers of ONNX Runtime."""

SHORT_NAMES: Final = {"cpu": CPU, "cuda": CUDA, "tensorrt": TENSORRT}
ONNX_RUNTIME_TENSORRT: Final = "TensorrtExecutionProvider"
