"""Gather the next batch while the last one runs, and run it: the two halves of an engine process' work.

The main thread fills: it copies the images of queued requests into the open batch as they come. A lane seizes the open
batch the moment it is free, with whatever is in it: nobody ever waits for a batch to grow, and it grows for exactly as
long as the device is busy anyway. Scores go from the lane straight into the arenas, then the answers to the workers.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from server.engines.process.batching import BatchQueue
from server.engines.process.hosted import Connection, HostedModel, Request
from server.engines.process.pulse import Pulse
from server.engines.process.staging import Staging
from server.engines.process.wire import Status
from server.engines.protocol import Scores
from server.errors import DeviceFailed

log = logging.getLogger("onsight.server")


@dataclass(eq=False, slots=True)
class Batch:
    """Requests of one model in one staging. copying: the main thread is at it.  full: it takes no more."""

    model: HostedModel
    staging: Staging
    requests: list[Request] = field(default_factory=list)
    size: int = 0
    copying: bool = False
    full: bool = False


class Gatherer:
    """wake: makes the main thread call `fill`.  close_model: called when a retired model is no longer in use.

    A lane that finds nothing counts itself idle, under the lock, and sleeps at the bell; whoever makes a batch ready
    sees the count under the same lock and leaves a token for it. So no wake-up is lost, and none is late.
    """

    def __init__(self, wake: Callable[[], None], close_model: Callable[[HostedModel], None]) -> None:
        self._wake = wake
        self._close_model = close_model
        self._queue: BatchQueue[HostedModel, Request] = BatchQueue(lambda request: request.end(Status.EXPIRED))
        self._lock = threading.Lock()
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._idle_lanes = 0
        self._to_ring = 0
        self._open: Batch | None = None
        self._running = 0  # images in batches that were seized

    @property
    def pending(self) -> int:
        """Images that wait or run."""
        batch = self._open
        return self._queue.images + self._running + (batch.size if batch else 0)

    # ---- main thread

    def put(self, request: Request) -> None:
        self._queue.put(request.seat.model, request)

    def fill(self) -> None:
        """Copy what fits into the open batch; open one where there is none. Then call `ring`, and wait for more."""
        while self._queue.images:
            with self._lock:
                batch = self._open
                if batch is None:
                    model = self._queue.next_model(lambda each: bool(each.idle))
                    if model is None:
                        return
                    batch = self._open = Batch(model, model.idle.pop())
                if batch.full:
                    return
                room = batch.model.room - batch.size
                chosen = self._queue.take(batch.model, room, time.monotonic(), empty=not batch.requests)
                if not chosen:
                    if batch.requests:
                        return
                    self._open = None  # all of them had expired
                    self._put_away(batch)
                    continue
                batch.copying = True
            self._copy(batch, chosen)
            with self._lock:
                batch.copying = False
                if not batch.requests:  # their workers have ended
                    self._open = None
                    self._put_away(batch)
                elif self._idle_lanes:
                    self._idle_lanes -= 1
                    self._to_ring += 1
            if self._queue.images:
                self.ring()

    def ring(self) -> None:
        """Wake the lanes that have something to do. Woken before this thread rests, they would fight it for the GIL."""
        while self._to_ring:
            self._to_ring -= 1
            self._bell.put(None)

    def _copy(self, batch: Batch, chosen: list[Request]) -> None:
        for request in chosen:
            if request.seat.connection.closed:
                continue
            images = request.seat.arena.images
            batch.staging.put(batch.size, [images[slot] for slot in request.slots])
            batch.requests.append(request)
            batch.size += request.size
        batch.full = bool(batch.requests) and (chosen[-1].alone or batch.size >= batch.model.room)

    def retire(self, model: HostedModel) -> None:
        """No more requests for it will come."""
        for request in self._queue.forget(model):
            request.end(Status.EXPIRED)
        with self._lock:
            model.retired = True
            unused = len(model.idle) == model.stagings
        if unused:
            self._close_model(model)

    # ---- lanes

    def seize(self) -> Batch:
        """Wait for a batch and take it."""
        while True:
            with self._lock:
                batch = self._open
                if batch is not None and batch.requests and not batch.copying:
                    self._open = None
                    self._running += batch.size
                    break
                self._idle_lanes += 1
            self._bell.get()
        if self._queue.images:
            self._wake()
        return batch

    def finish(self, batch: Batch) -> None:
        """Its staging may be filled again."""
        with self._lock:
            self._running -= batch.size
            self._put_away(batch)
        if self._queue.images:
            self._wake()

    def _put_away(self, batch: Batch) -> None:
        model = batch.model
        model.idle.append(batch.staging)
        if model.retired and len(model.idle) == model.stagings:
            self._close_model(model)


class Lane(threading.Thread):
    """Runs one batch after the other. Two lanes keep a device busy: one copies and answers while the other's runs."""

    def __init__(self, number: int, gatherer: Gatherer, pulse: Pulse, count: Callable[[int], None]) -> None:
        super().__init__(name=f"lane-{number}", daemon=True)
        self._number = number
        self._gatherer = gatherer
        self._pulse = pulse
        self._count = count

    def run(self) -> None:
        try:
            while True:
                batch = self._gatherer.seize()
                self._pulse.busy(self._number, time.monotonic())
                self._answer(batch)
                self._pulse.busy(self._number, 0.0)
                self._gatherer.finish(batch)
                self._pulse.pend(self._gatherer.pending)
                del batch
        except BaseException:  # a process without its lane would look alive and answer nobody
            log.exception("lane failed; the process ends and is started again")
            os._exit(1)

    def _answer(self, batch: Batch) -> None:
        scores = _infer(batch, batch.size)
        if scores is not None:
            self._count(batch.size)
            _deliver(batch.requests, scores)
            return
        for request in batch.requests:  # one image must not spoil the others' answers
            alone = None
            if len(batch.requests) > 1 and not request.seat.connection.closed:
                images = request.seat.arena.images
                batch.staging.put(0, [images[slot] for slot in request.slots])
                alone = _infer(batch, request.size)
            if alone is None:
                request.end(Status.FAILED)
            else:
                _deliver([request], alone)


def _infer(batch: Batch, count: int) -> Scores | None:
    try:
        return batch.staging.infer(count)
    except DeviceFailed:  # whatever it is asked from now on would fail as well: only a new process can use it again
        raise
    except Exception:  # runtimes' errors share no base class
        log.exception("model failed on a batch", extra={"model": batch.model.manifest.name, "images": count})
        return None


def _deliver(requests: list[Request], scores: Scores) -> None:
    """Scores into the arenas first, then the messages that hand the slots back."""
    probabilities, logits = scores
    answers: dict[Connection, list[tuple[int, Status]]] = {}
    at = 0
    for request in requests:
        end = at + request.size
        request.seat.arena.answer(request.slots, request.request_id, (probabilities[at:end], logits[at:end]))
        answers.setdefault(request.seat.connection, []).append((request.request_id, Status.SCORED))
        at = end
    for connection, entries in answers.items():
        connection.send_done(entries)
