"""Batches of fixed sizes for ONNX Runtime on an accelerator: buffers on the device that stay, bound once.

For each size the input's and the outputs' buffers on the device, and one binding. A run copies the block of host memory
into the one and reads the others back; no memory of the device is allocated, and shapes and addresses stay the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bundle.manifest import Manifest
from server.engines.protocol import LOGITS, PROBABILITIES, Scores
from server.errors import DeviceFailed


@dataclass(frozen=True, slots=True)
class _Bound:
    """One batch size: the session that runs it, the input buffer on the device, and the binding that uses it."""

    size: int
    session: Any
    buffer: Any
    binding: Any


class BoundStaging:
    """A Staging (server/engines/process/staging.py).

    sessions: by batch size, ascending; they may be one and the same.  kind: `cuda` or `cpu`.  device: its number.

    A run that fails on an accelerator is taken for a failure of the device: shapes are fixed, and every byte is an
    image. Raises DeviceFailed then.
    """

    def __init__(self, sessions: Mapping[int, Any], manifest: Manifest, kind: str, device: int) -> None:
        import onnxruntime as ort

        self._accelerated = kind != "cpu"
        spec = manifest.preprocessing
        self._images = np.zeros((max(sessions), spec.height, spec.width, 3), np.uint8)
        self._bound = []
        for size, session in sessions.items():
            new_buffer = ort.OrtValue.ortvalue_from_shape_and_type
            buffer = new_buffer([size, spec.height, spec.width, 3], np.uint8, kind, device)
            binding = session.io_binding()
            binding.bind_ortvalue_input(manifest.input.name, buffer)
            for name in (PROBABILITIES, LOGITS):
                scores = new_buffer([size, len(manifest.labels)], np.float32, kind, device)
                binding.bind_ortvalue_output(name, scores)
            self._bound.append(_Bound(size, session, buffer, binding))

    def put(self, at: int, images: Sequence[NDArray[np.uint8]]) -> None:
        for offset, image in enumerate(images):
            self._images[at + offset] = image

    def infer(self, count: int) -> Scores:
        bound = next(each for each in self._bound if each.size >= count)
        try:
            bound.buffer.update_inplace(self._images[: bound.size])
            bound.session.run_with_iobinding(bound.binding)
            probabilities, logits = bound.binding.copy_outputs_to_cpu()
        except Exception as error:  # the runtime's errors share no base class
            if not self._accelerated:
                raise
            raise DeviceFailed(
                f"device: expected it to run {bound.size} images, found that it refuses ({error}). Look into the"
                " system's log for messages of its driver."
            ) from error
        return probabilities[:count], logits[:count]
