"""One small seam to a device's memory: blocks, pinned host memory, streams and copies, whatever library makes them.

`open_device_memory` takes cuda-python where it works, else pycuda. A block and a stream are plain numbers (an address,
a handle), as TensorRT takes them. Nothing here launches work: the runtime does, on a stream of ours.
Open it only on a machine whose devices `device_probe` has found: without a driver these libraries may crash.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from server.engines.device_probe import Device, DeviceProbe
from server.errors import EngineError, ProviderMismatch


class DeviceMemory(Protocol):
    """Memory of one device. Any thread may call, after `make_current`; a stream is one thread's at a time.

    Everything raises DeviceFailed where the device refuses.
    """

    @property
    def library(self) -> str:
        """What makes the calls, with its version: `cuda-python 13.4.4`."""

    @property
    def device(self) -> Device: ...

    def make_current(self) -> None:
        """Make the device this thread's own, before its first other call here or in the runtime. Cheap when it is."""

    def allocate(self, size: int) -> int:
        """The address of `size` bytes on the device, uninitialised."""

    def free(self, address: int) -> None: ...

    def pinned(self, shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
        """Host memory, zeroed, that the device reads and writes by itself while the host does other work."""

    def free_pinned(self, array: NDArray[Any]) -> None:
        """array: as `pinned` returned it, no part of it; nobody may look at it after."""

    def new_stream(self) -> int:
        """The handle of a queue of work, which runs beside those of other streams."""

    def free_stream(self, stream: int) -> None: ...

    def copy_in(self, address: int, source: NDArray[Any], stream: int) -> None:
        """Queue a copy to the device. source: contiguous, pinned, and left alone until the stream is done."""

    def copy_out(self, target: NDArray[Any], address: int, stream: int) -> None:
        """Queue a copy from the device. target: contiguous, pinned, and not read until the stream is done."""

    def synchronize(self, stream: int) -> None:
        """Wait for all that was queued; other threads of Python run meanwhile."""


OpenDeviceMemory = Callable[[Device], DeviceMemory]


def _cuda_python(device: Device) -> DeviceMemory:
    from server.engines.cuda_python_memory import CudaPythonMemory

    return CudaPythonMemory(device)


def _pycuda(device: Device) -> DeviceMemory:
    from server.engines.pycuda_memory import PycudaMemory

    return PycudaMemory(device)


LIBRARIES: tuple[tuple[str, OpenDeviceMemory], ...] = (("cuda-python", _cuda_python), ("pycuda", _pycuda))


def open_device_memory(
    probe: DeviceProbe, index: int, libraries: Sequence[tuple[str, OpenDeviceMemory]] = LIBRARIES
) -> DeviceMemory:
    """The memory of device `index`, by the first library that works. Raises ProviderMismatch, saying what to do."""
    device = require_device(probe, index)
    reasons = []
    for name, open_memory in libraries:
        try:
            return open_memory(device)
        except ModuleNotFoundError:
            reasons.append(f"{name} is not installed")
        except (ImportError, OSError, RuntimeError, EngineError) as error:
            reasons.append(f"{name} does not work here ({error})")
    raise ProviderMismatch(
        f"device memory: expected cuda-python or pycuda, found that {' and '.join(reasons)}. Install Onsight's extra"
        " 'gpu' (it brings cuda-python), or set ONSIGHT_PROVIDERS to cpu."
    )


def require_device(probe: DeviceProbe, index: int) -> Device:
    """Raises ProviderMismatch where the driver does not offer it."""
    device = probe.device(index)
    if device is None:
        found = probe.reason or f"{len(probe.devices)} device(s), numbered from 0"
        raise ProviderMismatch(
            f"device {index}: expected an NVIDIA GPU, found {found}. Install the NVIDIA driver and let this process use"
            " the device (in a container: with the NVIDIA container toolkit), or set ONSIGHT_PROVIDERS to cpu."
        )
    return device


def view_of(address: int, shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
    """Host memory at an address as an array, zeroed; whoever owns the memory frees it."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    array: NDArray[Any] = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
    array[:] = 0
    return array.view(dtype).reshape(shape)
