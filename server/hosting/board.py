"""How busy each worker is: a few numbers a worker, in memory that all processes of one server share.

A worker writes its own slot alone; everybody reads all of them. A number that is a moment old does no harm: it decides
who accepts a connection, and what the metrics show.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass

# taken and accepting, connections, waiting requests, process id; digest of what serves, generation
_SLOT = struct.Struct("<B3xIIIII")
_LOAD = struct.Struct("<B3xIII")  # the first half; another thread writes the second
_MODELS = struct.Struct("<II")
_FREE, _TAKEN, _ACCEPTING = 0, 1, 2


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    """One worker's numbers.

    waiting: requests that are whole and that no thread has taken up yet.  models: digest of what it serves; see
    Table.  generation: of its last look at the models folder; see Lifecycle.
    """

    pid: int
    accepting: bool
    connections: int
    waiting: int
    models: int
    generation: int


class Board:
    """Create before forking. slots: at most so many workers at once, those of a restart included."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._memory = mmap.mmap(-1, slots * _SLOT.size)  # anonymous and shared

    def claim(self) -> int:
        """In the parent: a free slot for a worker that is about to be forked; the last one where none is free."""
        for slot in range(self._slots):
            if self._memory[slot * _SLOT.size] == _FREE:
                _SLOT.pack_into(self._memory, slot * _SLOT.size, _TAKEN, 0, 0, 0, 0, 0)
                return slot
        return self._slots - 1

    def release(self, slot: int) -> None:
        """In the parent: the worker has ended."""
        _SLOT.pack_into(self._memory, slot * _SLOT.size, _FREE, 0, 0, 0, 0, 0)

    def report(self, slot: int, pid: int, accepting: bool, connections: int, waiting: int) -> None:
        state = _ACCEPTING if accepting else _TAKEN
        _LOAD.pack_into(self._memory, slot * _SLOT.size, state, connections, waiting, pid)

    def report_models(self, slot: int, models: int, generation: int) -> None:
        _MODELS.pack_into(self._memory, slot * _SLOT.size + _LOAD.size, models, generation)

    def workers(self) -> list[WorkerLoad]:
        """All workers that there are."""
        return [
            WorkerLoad(pid, state == _ACCEPTING, connections, waiting, models, generation)
            for state, connections, waiting, pid, models, generation in _SLOT.iter_unpack(self._memory[:])
            if state != _FREE
        ]

    def fewest_connections(self, but_slot: int) -> int | None:
        """Of the other workers that accept; None where there is none."""
        others = [
            connections
            for slot, (state, connections, *_) in enumerate(_SLOT.iter_unpack(self._memory[:]))
            if state == _ACCEPTING and slot != but_slot
        ]
        return min(others, default=None)
