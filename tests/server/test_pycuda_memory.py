"""Device memory through pycuda: what was handed out as a number is kept until it is freed, and refusals are told.

pycuda is compiled on a host with CUDA; here is as much of it as is called, over a fake device.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from fake_gpu import L4, FakeGpu, FakeMemory

from server.engines.device_memory import DeviceMemory
from server.errors import DeviceFailed


class Owned:
    """A block, a stream or pinned memory of pycuda: gone as soon as nobody refers to it."""

    def __init__(self, number: int, release: Any) -> None:
        self.handle = number
        self._release = release

    def __int__(self) -> int:
        return self.handle

    def free(self) -> None:
        release, self._release = self._release, lambda: None
        release()

    __del__ = free


class FakeDriver(ModuleType):
    Error = type("Error", (Exception,), {})

    def __init__(self, gpu: FakeGpu) -> None:
        super().__init__("pycuda.driver")
        self.gpu, self.memory = gpu, FakeMemory(gpu)
        self.pushed: list[int] = []

    def init(self) -> None:
        pass

    def Device(self, index: int) -> Any:
        assert index == 0
        return self

    def retain_primary_context(self) -> Any:
        return self

    def push(self) -> None:
        self.pushed.append(threading.get_ident())
        self.gpu.make_current()

    def mem_alloc(self, size: int) -> Owned:
        try:
            address = self.memory.allocate(size)
        except DeviceFailed as error:
            raise self.Error("cuMemAlloc failed: out of memory") from error
        return Owned(address, lambda: self.memory.free(address))

    def pagelocked_zeros(self, shape: tuple[int, ...], dtype: Any) -> Any:
        array = self.memory.pinned(shape, dtype)
        owner = Owned(0, lambda: self.memory.free_pinned(array))
        return array.view(type("Pinned", (np.ndarray,), {"base": owner}))

    def Stream(self, flags: int) -> Owned:
        assert flags == 1, "it would wait for everybody else's work"
        stream = self.memory.new_stream()
        owned = Owned(stream, lambda: self.memory.free_stream(stream))
        owned.synchronize = lambda: self.memory.synchronize(stream)  # type: ignore[attr-defined]
        return owned

    def memcpy_htod_async(self, address: int, source: Any, stream: Owned) -> None:
        self.memory.copy_in(address, source, stream.handle)

    def memcpy_dtoh_async(self, target: Any, address: int, stream: Owned) -> None:
        self.memory.copy_out(target, address, stream.handle)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDriver]:
    fake, package = FakeDriver(FakeGpu()), ModuleType("pycuda")
    package.VERSION_TEXT, package.driver = "2026.1", fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", fake)
    monkeypatch.delitem(sys.modules, "server.engines.pycuda_memory", raising=False)
    yield fake
    sys.modules.pop("server.engines.pycuda_memory", None)


def open_memory() -> DeviceMemory:
    memory: DeviceMemory = importlib.import_module("server.engines.pycuda_memory").PycudaMemory(L4)
    return memory


def test_bytes_go_there_and_back_and_nothing_goes_before_it_is_freed(driver: FakeDriver) -> None:
    memory = open_memory()
    assert (memory.library, memory.device) == ("pycuda 2026.1", L4)
    source, target = memory.pinned((2, 50), np.uint8), memory.pinned((2, 50), np.uint8)
    source[:] = np.arange(100, dtype=np.uint8).reshape(2, 50)
    address, stream = memory.allocate(100), memory.new_stream()
    memory.copy_in(address, source, stream)
    memory.copy_out(target, address, stream)
    assert not target.any(), "it is only queued"
    memory.synchronize(stream)
    np.testing.assert_array_equal(source, target)
    memory.free(address)
    memory.free_stream(stream)
    for array in (source, target):
        memory.free_pinned(array)
    assert driver.gpu.is_empty


def test_each_thread_enters_the_context_once(driver: FakeDriver) -> None:
    memory = open_memory()

    def use() -> None:
        for _ in range(3):
            memory.make_current()

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    use()
    assert len(driver.pushed) == len(set(driver.pushed)) == 2


def test_a_refusal_says_what_the_driver_said(driver: FakeDriver) -> None:
    memory = open_memory()
    driver.gpu.room = 10
    with pytest.raises(DeviceFailed, match="found cuMemAlloc failed: out of memory"):
        memory.allocate(11)
