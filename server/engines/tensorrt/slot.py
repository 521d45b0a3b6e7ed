"""One batch's way through the device: pinned memory, device memory, a stream and an execution context of its own.

Two slots are a double buffer: while one batch computes, the next is copied in and the last one's scores come out.
A slot runs fixed batch sizes alone and fills up to the next; padding rows hold images of earlier batches, whose scores
nobody sees. Addresses are set once, a shape only when the size changes: both cost the runtime time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.engines.device_memory import DeviceMemory
from server.engines.process.batching import padded_size
from server.engines.protocol import LOGITS, PROBABILITIES, Scores
from server.errors import DeviceFailed, EngineError


@dataclass(frozen=True, slots=True)
class EngineTensor:
    """An input or output of an engine. shape: of one row, without the batch."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    is_input: bool


class Slot:
    """sizes: ascending; the last is the room. One thread at a time; a `Staging` of the engine process as it stands."""

    def __init__(
        self,
        context: Any,
        memory: DeviceMemory,
        tensors: Sequence[EngineTensor],
        sizes: Sequence[int],
    ) -> None:
        self.sizes = tuple(sizes)
        self._context = context
        self._memory = memory
        self._size = 0  # that the context's shape is set to
        self._count = 0  # images on their way
        self._host: dict[str, NDArray[Any]] = {}
        self._device: dict[str, int] = {}
        self._stream: int | None = None
        try:
            self._stream = memory.new_stream()
            for tensor in tensors:
                host = memory.pinned((self.sizes[-1], *tensor.shape), tensor.dtype)
                self._host[tensor.name] = host
                self._device[tensor.name] = memory.allocate(host.nbytes)
                _check(
                    context.set_tensor_address(tensor.name, self._device[tensor.name]),
                    f"take the address of {tensor.name!r}",
                )
        except BaseException:
            self.close()
            raise
        self._input = next(tensor for tensor in tensors if tensor.is_input)
        self._outputs = tuple(tensor.name for tensor in tensors if not tensor.is_input)

    @property
    def room(self) -> int:
        return self.sizes[-1]

    def put(self, at: int, images: Sequence[NDArray[np.uint8]]) -> None:
        """Copy images, each (H, W, 3) uint8, to the places from `at` on. Not between `start` and `finish`."""
        block = self._host[self._input.name]
        for offset, image in enumerate(images):
            block[at + offset] = image

    def put_block(self, images: NDArray[np.uint8]) -> None:
        """Copy images (N, H, W, 3) uint8 to the first places."""
        self._host[self._input.name][: len(images)] = images

    def start(self, count: int) -> None:
        """Queue the first `count` images; the device has them when this returns, the scores come later."""
        self._memory.make_current()
        assert self._stream is not None
        size = padded_size(count, self.sizes)
        if size != self._size:
            self._size = 0
            _check(self._context.set_input_shape(self._input.name, (size, *self._input.shape)), f"take {size} images")
            self._size = size
        name = self._input.name
        self._memory.copy_in(self._device[name], self._host[name][:count], self._stream)
        _check(self._context.execute_async_v3(self._stream), f"run {size} images")
        for output in self._outputs:
            self._memory.copy_out(self._host[output][:count], self._device[output], self._stream)
        self._count = count

    def finish(self) -> Scores:
        """Wait for what `start` queued. Returns (count, C) each, which the next `start` overwrites."""
        assert self._stream is not None
        self._memory.make_current()
        self._memory.synchronize(self._stream)
        return self._host[PROBABILITIES][: self._count], self._host[LOGITS][: self._count]

    def infer(self, count: int) -> Scores:
        self.start(count)
        return self.finish()

    def close(self) -> None:
        """Free all of it. Nothing may be on its way."""
        self._memory.make_current()
        self._context = None
        for address in self._device.values():
            self._memory.free(address)
        for host in self._host.values():
            self._memory.free_pinned(host)
        if self._stream is not None:
            self._memory.free_stream(self._stream)
        self._device, self._host, self._stream = {}, {}, None


def _check(accepted: bool, what: str) -> None:
    if not accepted:
        raise DeviceFailed(f"TensorRT: expected the engine to {what}, found that it refuses. Restart the server.")


def tensors_of(trt: Any, engine: Any) -> tuple[EngineTensor, ...]:
    """What an engine takes and gives. Raises EngineError for a tensor that has no fixed rows."""
    found = []
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        dtype = engine.get_tensor_dtype(name)
        batch, *rows = tuple(engine.get_tensor_shape(name))
        if batch != -1 or any(size < 1 for size in rows):
            raise EngineError(
                f"graph: expected {name!r} to be a batch of fixed rows, found shape {(batch, *rows)}. Export the bundle"
                " again."
            )
        is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        found.append(EngineTensor(name, np.dtype(trt.nptype(dtype)).name, tuple(rows), is_input))
    return tuple(found)
