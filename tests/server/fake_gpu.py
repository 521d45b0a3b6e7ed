"""A GPU's memory where there is none: the same calls under the same rules, in host memory.

As strict as a real one: a stream's work is done when it is waited for and not before, copies take pinned memory and
stay within their blocks, and a thread must have made the device current. A rule that is broken is an AssertionError.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from server.engines.device_probe import Device, DeviceProbe
from server.errors import DeviceFailed

L4 = Device(0, "NVIDIA L4", "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f", (8, 9), 58, 23 * 1024**3)
PROBE = DeviceProbe((L4,), "580.82.07", "13.1")
BREAKS_THE_DEVICE = (0, 0, 5)  # the first pixel of an image that no device survives


class FakeGpu:
    """A device's memory. room: bytes.  broken: it refuses every call from now on."""

    def __init__(self, room: int = 1 << 40) -> None:
        self.room = room
        self.broken = False
        self.blocks: dict[int, NDArray[np.uint8]] = {}
        self.pinned: dict[int, NDArray[Any]] = {}
        self.streams: dict[int, list[Callable[[], None]]] = {}
        self.most_streams_busy = 0
        self._handles = itertools.count(1)
        self._addresses = itertools.count(0x7F00_0000_0000, 1 << 32)
        self._current = threading.local()

    def make_current(self) -> None:
        self._current.set = True

    def check(self) -> None:
        assert getattr(self._current, "set", False), "this thread has not made the device its own"
        if self.broken:
            raise DeviceFailed("device: expected cudaMemcpyAsync to succeed, found cudaErrorIllegalAddress.")

    def block(self, address: int, size: int) -> NDArray[np.uint8]:
        block = self.blocks[address]
        assert size <= len(block), f"{size} bytes do not fit into a block of {len(block)}"
        return block[:size]

    def enqueue(self, stream: int, work: Callable[[], None]) -> None:
        self.streams[stream].append(work)
        self.most_streams_busy = max(self.most_streams_busy, sum(bool(queue) for queue in self.streams.values()))

    @property
    def is_empty(self) -> bool:
        return not (self.blocks or self.pinned or self.streams)


class FakeMemory:
    """DeviceMemory on a FakeGpu."""

    library = "fake memory 1.0"
    device = L4

    def __init__(self, gpu: FakeGpu) -> None:
        self.gpu = gpu
        self.make_current = gpu.make_current

    def allocate(self, size: int) -> int:
        self.gpu.check()
        if size > self.gpu.room - sum(map(len, self.gpu.blocks.values())):
            raise DeviceFailed("device: expected cudaMalloc to succeed, found cudaErrorMemoryAllocation.")
        address = next(self.gpu._addresses)
        self.gpu.blocks[address] = np.full(size, 0xAB, np.uint8)
        return address

    def free(self, address: int) -> None:
        del self.gpu.blocks[address]

    def pinned(self, shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
        self.gpu.check()
        array = np.zeros(tuple(shape), dtype)
        self.gpu.pinned[array.ctypes.data] = array
        return array

    def free_pinned(self, array: NDArray[Any]) -> None:
        del self.gpu.pinned[array.ctypes.data]

    def new_stream(self) -> int:
        self.gpu.check()
        handle = next(self.gpu._handles)
        self.gpu.streams[handle] = []
        return handle

    def free_stream(self, stream: int) -> None:
        assert not self.gpu.streams.pop(stream) or self.gpu.broken, "work is on its way"

    def copy_in(self, address: int, source: NDArray[Any], stream: int) -> None:
        self._check_pinned(source)
        block = self.gpu.block(address, source.nbytes)

        def copy() -> None:
            if source.ndim == 4 and BREAKS_THE_DEVICE in {tuple(map(int, image[0, 0])) for image in source}:
                self.gpu.broken = True
            block[:] = source.reshape(-1).view(np.uint8)

        self.gpu.enqueue(stream, copy)

    def copy_out(self, target: NDArray[Any], address: int, stream: int) -> None:
        self._check_pinned(target)
        block = self.gpu.block(address, target.nbytes)

        def copy() -> None:
            target.reshape(-1).view(np.uint8)[:] = block

        self.gpu.enqueue(stream, copy)

    def synchronize(self, stream: int) -> None:
        self.gpu.check()
        queue = self.gpu.streams[stream]
        while queue:
            queue.pop(0)()
        self.gpu.check()

    def _check_pinned(self, array: NDArray[Any]) -> None:
        self.gpu.check()
        assert array.flags.c_contiguous
        assert array.ctypes.data in self.gpu.pinned, "not pinned"
