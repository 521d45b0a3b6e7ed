"""Device memory through cuda-python (`cuda.bindings.runtime`). See `device_memory` for the seam."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cuda.bindings
import numpy as np
from cuda.bindings import runtime
from numpy.typing import DTypeLike, NDArray

from server.engines.device_memory import view_of
from server.engines.device_probe import Device
from server.errors import DeviceFailed

_NOT_WITH_THE_DEFAULT_STREAM = 1  # cudaStreamNonBlocking
_PORTABLE = 1  # cudaHostAllocPortable


class CudaPythonMemory:
    """See DeviceMemory. Uses the device's primary context, the one that TensorRT and ONNX Runtime use as well.

    Raises DeviceFailed where the driver does not answer.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        # A thread that waits for the device sleeps: the cores are for decoding images. Once the context stands, the
        # flag can no longer be set, and whoever made it has chosen.
        runtime.cudaInitDevice(device.index, runtime.cudaDeviceScheduleBlockingSync, 1)
        self.make_current()
        _ask("cudaFree", runtime.cudaFree(0))  # the context is made here, not in the middle of a request

    @property
    def library(self) -> str:
        return f"cuda-python {cuda.bindings.__version__}"

    @property
    def device(self) -> Device:
        return self._device

    def make_current(self) -> None:
        _ask("cudaSetDevice", runtime.cudaSetDevice(self._device.index))

    def allocate(self, size: int) -> int:
        return int(_ask("cudaMalloc", runtime.cudaMalloc(size)))

    def free(self, address: int) -> None:
        _ask("cudaFree", runtime.cudaFree(address))

    def pinned(self, shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return view_of(int(_ask("cudaHostAlloc", runtime.cudaHostAlloc(size, _PORTABLE))), shape, dtype)

    def free_pinned(self, array: NDArray[Any]) -> None:
        _ask("cudaFreeHost", runtime.cudaFreeHost(array.ctypes.data))

    def new_stream(self) -> int:
        return int(_ask("cudaStreamCreateWithFlags", runtime.cudaStreamCreateWithFlags(_NOT_WITH_THE_DEFAULT_STREAM)))

    def free_stream(self, stream: int) -> None:
        _ask("cudaStreamDestroy", runtime.cudaStreamDestroy(stream))

    def copy_in(self, address: int, source: NDArray[Any], stream: int) -> None:
        kind = runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        _ask("cudaMemcpyAsync", runtime.cudaMemcpyAsync(address, source.ctypes.data, source.nbytes, kind, stream))

    def copy_out(self, target: NDArray[Any], address: int, stream: int) -> None:
        kind = runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        _ask("cudaMemcpyAsync", runtime.cudaMemcpyAsync(target.ctypes.data, address, target.nbytes, kind, stream))

    def synchronize(self, stream: int) -> None:
        _ask("cudaStreamSynchronize", runtime.cudaStreamSynchronize(stream))


def _ask(call: str, answer: tuple[Any, ...]) -> Any:
    """What a call returned beside its status; a tuple where that is more than one value."""
    status, *values = answer
    if status != runtime.cudaError_t.cudaSuccess:
        raise DeviceFailed(
            f"device: expected {call} to succeed, found {status.name}. Free memory of the device, look into the"
            " system's log for messages of its driver, or restart the server."
        )
    return values[0] if len(values) == 1 else tuple(values)
