"""Which slots of an arena are free and which are lent to which request. Pure: no clock, no thread, no memory.

A slot is free, or lent to one request. Only two things make it free again: the engine's answer has come and was read,
or has come for a request that nobody waits for any more. So while the engine may still write to it, nobody else gets
it: a late answer finds its own slot. (When the engine is lost, its arena is given up whole, with all slots.)
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto


class Stage(Enum):
    """Of a request's slots."""

    WAITING = auto()  # at the engine, and somebody waits
    ABANDONED = auto()  # at the engine, and nobody waits
    ANSWERED = auto()  # back, and not read yet


class SlotPool:
    """count slots, numbered from 0. The one used last is lent first: its memory is warm, and others stay untouched."""

    def __init__(self, count: int) -> None:
        self._free = list(range(count - 1, -1, -1))
        self._lent: dict[int, tuple[int, ...]] = {}
        self._stage: dict[int, Stage] = {}

    @property
    def free(self) -> int:
        return len(self._free)

    @property
    def requests(self) -> int:
        return len(self._lent)

    def lend(self, request_id: int, count: int) -> tuple[int, ...]:
        """Up to count slots for a new request; none where none is free."""
        if request_id in self._lent:
            raise ValueError(f"request {request_id} has slots already")
        count = min(count, len(self._free))
        slots = tuple(self._free.pop() for _ in range(count))
        if slots:
            self._lent[request_id], self._stage[request_id] = slots, Stage.WAITING
        return slots

    def take_back(self, request_id: int) -> None:
        """The request never left for the engine."""
        self._expect(request_id, Stage.WAITING)
        self._release(request_id)

    def answer(self, request_id: int) -> bool:
        """The engine's answer is there: whether somebody will read it; else the slots are free at once."""
        if self._expect(request_id, Stage.WAITING, Stage.ABANDONED) is Stage.ABANDONED:
            self._release(request_id)
            return False
        self._stage[request_id] = Stage.ANSWERED
        return True

    def abandon(self, request_id: int) -> bool:
        """Nobody waits any more: whether the answer was still to come; else it must be read and released."""
        if self._expect(request_id, Stage.WAITING, Stage.ANSWERED) is Stage.ANSWERED:
            return False
        self._stage[request_id] = Stage.ABANDONED
        return True

    def release(self, request_id: int) -> None:
        """The answer has been read."""
        self._expect(request_id, Stage.ANSWERED)
        self._release(request_id)

    def slots_of(self, request_id: int) -> Sequence[int]:
        return self._lent[request_id]

    def _expect(self, request_id: int, *stages: Stage) -> Stage:
        stage = self._stage.get(request_id)
        if stage not in stages:
            raise ValueError(f"request {request_id}: expected {[each.name for each in stages]}, found {stage}")
        return stage

    def _release(self, request_id: int) -> None:
        self._free.extend(reversed(self._lent.pop(request_id)))
        del self._stage[request_id]
