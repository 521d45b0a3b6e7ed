"""What every contender but Onsight computes: JPEG bytes -> probabilities, by the straight way of a good engineer.

libjpeg-turbo decodes at full size, Pillow resizes, ONNX Runtime runs one thread a session with its default options.
Runs in each peer's own environment, so it imports nothing of Onsight. What to serve comes in the environment:
BENCH_MODEL (an ONNX file), BENCH_SIDE ("height width", pixels), BENCH_PORT, BENCH_WORKERS, and BENCH_VARIANT where a
peer can be used in more than one way.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import onnxruntime as ort
import simplejpeg
from PIL import Image


class Plain:
    """One ONNX Runtime session. Its calls may come from several threads at once."""

    def __init__(self, model: str, height: int, width: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._height, self._width = height, width

    def decode(self, data: bytes) -> Any:
        """(height, width, 3) uint8 RGB."""
        picture = Image.fromarray(simplejpeg.decode_jpeg(data, "RGB"))
        return np.asarray(picture.resize((self._width, self._height), Image.Resampling.BILINEAR))

    def infer(self, images: Any) -> Any:
        """images: (N, height, width, 3) uint8. Returns probabilities, (N, C) float32."""
        return self._session.run(["probabilities"], {"images": images})[0]

    def predict(self, data: bytes) -> list[float]:
        """Probabilities of one image, in the model's order of labels."""
        probabilities: list[float] = self.infer(self.decode(data)[None])[0].tolist()
        return probabilities


def from_environment() -> Plain:
    height, width = os.environ["BENCH_SIDE"].split()
    return Plain(os.environ["BENCH_MODEL"], int(height), int(width))


def port() -> int:
    return int(os.environ["BENCH_PORT"])


def workers() -> int:
    return int(os.environ["BENCH_WORKERS"])


def variant() -> str:
    """Empty for the best one."""
    return os.environ.get("BENCH_VARIANT", "")
