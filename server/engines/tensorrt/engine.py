"""A TensorRT engine behind the `Engine` seam.

In this order: tensors against the manifest, then slots as they are needed, then batches. Safe to call from any thread:
each takes a slot of its own, waiting where all are busy. Never builds and never reads a file.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bundle.manifest import Manifest
from server.engines.device_memory import DeviceMemory
from server.engines.onnx_runtime import check_tensors
from server.engines.protocol import Scores
from server.engines.providers import TENSORRT
from server.engines.tensorrt.library import TensorRTLog
from server.engines.tensorrt.slot import EngineTensor, Slot, tensors_of
from server.errors import DeadlineExceeded, EngineError

SLOTS = 2
WARM_UP_RUNS = 2


class TensorRTEngine:
    """engine: deserialised.  batch_sizes: ascending, those that its profile covers. Owns the engine, not the memory.

    Raises GraphMismatch where the engine is not the manifest's, DeviceFailed where the device has no room.
    """

    providers: tuple[str, ...] = (TENSORRT,)

    def __init__(
        self,
        trt: Any,
        trt_log: TensorRTLog,
        engine: Any,
        manifest: Manifest,
        memory: DeviceMemory,
        batch_sizes: Sequence[int],
    ) -> None:
        self.library = f"TensorRT {trt.__version__}, {memory.library}"
        self.device = memory.device.name
        self._log = trt_log  # the engine writes to it for as long as it lives
        self._engine = engine
        self._manifest = manifest
        self._memory = memory
        self._sizes = tuple(batch_sizes)
        self._tensors = tensors_of(trt, engine)
        _check_manifest(manifest, self._tensors)
        self._slots: list[Slot] = []
        self._pooled = 0
        self._idle: queue.LifoQueue[Slot] = queue.LifoQueue()
        self._lock = threading.Lock()

    def infer(self, images: NDArray[np.uint8], deadline: float | None = None) -> Scores:
        """images: any number; more than the largest batch run as several, one copied while another computes."""
        room, count = self._sizes[-1], len(images)
        labels = len(self._manifest.labels)
        scores = np.empty((count, labels), np.float32), np.empty((count, labels), np.float32)
        slots = [self._take_slot(deadline)]
        running: deque[tuple[Slot, int, int]] = deque()
        try:
            if count > room and (second := self._take_idle_slot()) is not None:
                slots.append(second)
            for at in range(0, count, room):
                slot = slots[at // room % len(slots)]
                if len(running) == len(slots):
                    _collect(running.popleft(), scores)
                end = min(at + room, count)
                slot.put_block(images[at:end])
                slot.start(end - at)
                running.append((slot, at, end))
            while running:
                _collect(running.popleft(), scores)
        finally:
            for slot, _, _ in running:  # something failed: leave nothing on its way in a slot that others take
                _abandon(slot)
            for slot in slots:
                self._idle.put(slot)
        return scores

    def new_staging(self, sizes: Sequence[int]) -> Slot:
        """A slot for whoever gathers batches straight into pinned memory. It goes when the engine is closed."""
        if sizes[-1] > self._sizes[-1]:
            raise EngineError(
                f"batch sizes: expected at most {self._sizes[-1]}, which the engine was built for, found {sizes[-1]}."
                " Restart the server."
            )
        with self._lock:
            self._memory.make_current()
            context = self._engine.create_execution_context()
            if context is None:
                raise EngineError(
                    f"TensorRT: expected room for another execution context, found none ({self._log.last_errors()})."
                    " Free memory of the device, or serve fewer models."
                )
            slot = Slot(context, self._memory, self._tensors, sizes)
            self._slots.append(slot)
        return slot

    def warm_up(self) -> None:
        """Each batch size once or twice: kernels are loaded at their first run."""
        spec = self._manifest.preprocessing
        for size in self._sizes:
            blank = np.zeros((size, spec.height, spec.width, 3), np.uint8)
            for _ in range(WARM_UP_RUNS):
                self.infer(blank)

    def close(self) -> None:
        with self._lock:
            for slot in self._slots:
                slot.close()
            self._slots.clear()
            self._engine = None

    def _take_slot(self, deadline: float | None) -> Slot:
        """An idle one, a new one while there are few, else the first that gets idle."""
        slot = self._take_idle_slot()
        if slot is not None:
            return slot
        try:
            return self._idle.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise DeadlineExceeded("The device did not get free in the time that the request had. Try again.") from None

    def _take_idle_slot(self) -> Slot | None:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            pass
        with self._lock:
            if self._pooled == SLOTS:
                return None
            self._pooled += 1
        try:
            return self.new_staging(self._sizes)
        except BaseException:
            with self._lock:
                self._pooled -= 1
            raise


def _collect(run: tuple[Slot, int, int], scores: Scores) -> None:
    slot, at, end = run
    for target, part in zip(scores, slot.finish(), strict=True):
        target[at:end] = part


def _abandon(slot: Slot) -> None:
    try:
        slot.finish()
    except EngineError:
        return  # the device is lost, and so is the run


def _check_manifest(manifest: Manifest, tensors: Sequence[EngineTensor]) -> None:
    inputs, outputs = (
        {tensor.name: (tensor.dtype, ("batch", *tensor.shape)) for tensor in tensors if tensor.is_input is wanted}
        for wanted in (True, False)
    )
    check_tensors("input", (manifest.input,), inputs, complete=True)
    check_tensors("output", manifest.outputs, outputs, complete=False)
