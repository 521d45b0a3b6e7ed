"""Device memory through pycuda, for machines that have it and no cuda-python. See `device_memory` for the seam.

pycuda frees what nobody refers to any more, so whatever was handed out as a number is kept here until it is freed.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pycuda
import pycuda.driver as driver
from numpy.typing import DTypeLike, NDArray

from server.engines.device_probe import Device
from server.errors import DeviceFailed

_NOT_WITH_THE_DEFAULT_STREAM = 1  # CU_STREAM_NON_BLOCKING


class PycudaMemory:
    """See DeviceMemory. Uses the device's primary context, the one that TensorRT and ONNX Runtime use as well."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._thread = threading.local()
        self._blocks: dict[int, Any] = {}
        self._streams: dict[int, Any] = {}
        self._pinned: dict[int, Any] = {}
        with _refusals():
            driver.init()
            self._context = driver.Device(device.index).retain_primary_context()
        self.make_current()

    @property
    def library(self) -> str:
        return f"pycuda {pycuda.VERSION_TEXT}"

    @property
    def device(self) -> Device:
        return self._device

    def make_current(self) -> None:
        if not getattr(self._thread, "entered", False):
            with _refusals():
                self._context.push()
            self._thread.entered = True

    def allocate(self, size: int) -> int:
        with _refusals():
            block = driver.mem_alloc(size)
        self._blocks[int(block)] = block
        return int(block)

    def free(self, address: int) -> None:
        with _refusals():
            self._blocks.pop(address).free()

    def pinned(self, shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
        with _refusals():
            array: NDArray[Any] = driver.pagelocked_zeros(tuple(shape), dtype)
        self._pinned[array.ctypes.data] = array.base
        return array

    def free_pinned(self, array: NDArray[Any]) -> None:
        with _refusals():
            self._pinned.pop(array.ctypes.data).free()

    def new_stream(self) -> int:
        with _refusals():
            stream = driver.Stream(_NOT_WITH_THE_DEFAULT_STREAM)
        self._streams[int(stream.handle)] = stream
        return int(stream.handle)

    def free_stream(self, stream: int) -> None:
        del self._streams[stream]

    def copy_in(self, address: int, source: NDArray[Any], stream: int) -> None:
        with _refusals():
            driver.memcpy_htod_async(address, source, self._streams[stream])

    def copy_out(self, target: NDArray[Any], address: int, stream: int) -> None:
        with _refusals():
            driver.memcpy_dtoh_async(target, address, self._streams[stream])

    def synchronize(self, stream: int) -> None:
        with _refusals():
            self._streams[stream].synchronize()


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except driver.Error as error:
        raise DeviceFailed(
            f"device: expected CUDA to do it, found {error}. Free memory of the device, look into the system's log for"
            " messages of its driver, or restart the server."
        ) from error
