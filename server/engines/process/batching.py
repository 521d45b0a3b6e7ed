"""Which requests run together. Pure: no thread, no clock, no memory.

A batch is of one model. Requests are taken whole, in the order they came, until the next one does not fit; models take
turns, so a busy one cannot keep another waiting for longer than one batch. Nothing here ever waits for more to come.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, Protocol, TypeVar

DEFAULT_BATCH_SIZES = (1, 8, 32, 64)
"""What an accelerator runs where nobody says otherwise."""


class Waiting(Protocol):
    """What is queued. size: images.  alone: shares no batch.  deadline: seconds of a monotonic clock."""

    @property
    def size(self) -> int: ...
    @property
    def alone(self) -> bool: ...
    @property
    def deadline(self) -> float: ...


ModelT = TypeVar("ModelT", bound=Hashable)
RequestT = TypeVar("RequestT", bound=Waiting)


class BatchQueue(Generic[ModelT, RequestT]):
    """Requests by model. drop: called for each request whose deadline has passed when its turn comes."""

    def __init__(self, drop: Callable[[RequestT], None]) -> None:
        self._drop = drop
        self._queues: OrderedDict[ModelT, deque[RequestT]] = OrderedDict()
        self.images = 0

    def put(self, model: ModelT, request: RequestT) -> None:
        self._queues.setdefault(model, deque()).append(request)
        self.images += request.size

    def forget(self, model: ModelT) -> list[RequestT]:
        """Take out everything that waits for this model."""
        dropped = list(self._queues.pop(model, ()))
        self.images -= sum(request.size for request in dropped)
        return dropped

    def next_model(self, may_run: Callable[[ModelT], bool]) -> ModelT | None:
        """The model whose turn it is, of those that may run now; its next turn comes after all the others'."""
        for model in self._queues:
            if may_run(model):
                self._queues.move_to_end(model)
                return model
        return None

    def take(self, model: ModelT, room: int, now: float, *, empty: bool) -> list[RequestT]:
        """The next requests that fit into a batch with room for so many images. empty: nothing is in it yet."""
        taken: list[RequestT] = []
        queue = self._queues.get(model)
        while queue:
            request = queue[0]
            if request.deadline <= now:
                self._drop(self._pop(model, queue))
                continue
            if request.size > room or (request.alone and not empty):
                break
            taken.append(self._pop(model, queue))
            room -= request.size
            empty = False
            if request.alone:
                break
        if queue is not None and not queue:
            del self._queues[model]
        return taken

    def _pop(self, model: ModelT, queue: deque[RequestT]) -> RequestT:
        request = queue.popleft()
        self.images -= request.size
        return request


def padded_size(count: int, sizes: Sequence[int]) -> int:
    """The smallest of the ascending sizes that holds count images; count itself where there are no sizes."""
    return sizes[bisect_left(sizes, count)] if sizes else count


NO_DEADLINE = math.inf
