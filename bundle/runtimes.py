"""What may run a model, by the names that a manifest, a server and its metrics use. Knows no runtime itself."""

from __future__ import annotations

from typing import Final

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
TENSORRT: Final = "TensorRT"
"""NVIDIA TensorRT, driven directly. All other names are execution providers of ONNX Runtime."""
