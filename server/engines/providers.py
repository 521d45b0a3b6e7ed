"""What may run a model, by name. Knows no runtime, so that settings may read it."""

from __future__ import annotations

from typing import Final

from bundle.runtimes import CPU, CUDA, TENSORRT

__all__ = ["CPU", "CUDA", "ONNX_RUNTIME_TENSORRT", "SHORT_NAMES", "TENSORRT"]

SHORT_NAMES: Final = {"cpu": CPU, "cuda": CUDA, "tensorrt": TENSORRT}
ONNX_RUNTIME_TENSORRT: Final = "TensorrtExecutionProvider"
