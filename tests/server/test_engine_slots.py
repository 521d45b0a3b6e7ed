"""The pure parts of the engine arrangement: slots, batches, messages, back-off; each for all that may happen to it."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from server.engines.process.arena import Arena, ArenaShape
from server.engines.process.arrangement import device_environment
from server.engines.process.batching import BatchQueue, padded_size
from server.engines.process.options import HostOptions
from server.engines.process.pulse import EngineState, Pulse
from server.engines.process.slots import SlotPool
from server.engines.process.supervisor import FREE_FAILURES, LONGEST_PAUSE_S, BackOff, EngineSupervisor, is_stuck
from server.engines.process.wire import (
    MAX_MESSAGE,
    Kind,
    Load,
    Status,
    Submit,
    WireError,
    pack_done,
    pack_load,
    pack_submit,
    pack_text,
    unpack_done,
    unpack_load,
    unpack_submit,
    unpack_text,
)

SLOTS = 5


@dataclass
class Engine:
    """As the slots see it: it has requests, and may write to their slots at any moment until it has answered."""

    requests: dict[int, tuple[int, ...]] = field(default_factory=dict)


class SlotsInAllOrders(RuleBasedStateMachine):
    """A web worker's threads, the engine and its end, in any order. memory: whose answer lies in each slot."""

    def __init__(self) -> None:
        super().__init__()
        self.next_id = 1
        self.start_over()

    def start_over(self) -> None:
        self.pool = SlotPool(SLOTS)
        self.engine = Engine()
        self.memory: list[int | None] = [None] * SLOTS
        self.waiting: set[int] = set()
        self.answered: set[int] = set()

    @rule(count=st.integers(1, SLOTS + 2))
    def submit(self, count: int) -> None:
        free = self.pool.free
        slots = self.pool.lend(self.next_id, count)
        assert len(slots) == min(count, free)
        if slots:
            assert not any(set(slots) & set(others) for others in self.engine.requests.values())
            self.engine.requests[self.next_id] = slots
            self.waiting.add(self.next_id)
        self.next_id += 1

    @precondition(lambda self: self.engine.requests)
    @rule(data=st.data())
    def engine_answers(self, data: st.DataObject) -> None:
        """Also the requests that were abandoned: a late answer."""
        request_id = data.draw(st.sampled_from(sorted(self.engine.requests)))
        for slot in self.engine.requests.pop(request_id):
            self.memory[slot] = request_id
        assert self.pool.answer(request_id) is (request_id in self.waiting)
        if request_id in self.waiting:
            self.waiting.remove(request_id)
            self.answered.add(request_id)

    @precondition(lambda self: self.waiting or self.answered)
    @rule(data=st.data())
    def deadline_passes(self, data: st.DataObject) -> None:
        request_id = data.draw(st.sampled_from(sorted(self.waiting | self.answered)))
        assert self.pool.abandon(request_id) is (request_id in self.waiting)
        self.waiting.discard(request_id)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def sending_fails(self, data: st.DataObject) -> None:
        request_id = data.draw(st.sampled_from(sorted(self.waiting)))
        self.pool.take_back(request_id)
        self.waiting.remove(request_id)
        del self.engine.requests[request_id]

    @precondition(lambda self: self.answered)
    @rule(data=st.data())
    def worker_reads(self, data: st.DataObject) -> None:
        request_id = data.draw(st.sampled_from(sorted(self.answered)))
        assert all(self.memory[slot] == request_id for slot in self.pool.slots_of(request_id)), "a wrong answer"
        self.pool.release(request_id)
        self.answered.remove(request_id)

    @rule()
    def engine_is_killed(self) -> None:
        """All that waited learn it, in any state; then a new arena with new slots."""
        for request_id in sorted(self.engine.requests):
            self.pool.answer(request_id)
        for request_id in sorted(self.waiting | self.answered):
            self.pool.release(request_id)
        assert self.pool.free == SLOTS
        self.start_over()

    @invariant()
    def no_slot_is_lost_or_lent_twice(self) -> None:
        lent = [slot for request_id in self.pool._lent for slot in self.pool.slots_of(request_id)]
        assert sorted(lent + self.pool._free) == list(range(SLOTS))
        assert set(self.pool._lent) == set(self.engine.requests) | self.answered


TestSlotsInAllOrders = SlotsInAllOrders.TestCase
TestSlotsInAllOrders.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_what_cannot_be_is_refused_by_the_slots() -> None:
    pool = SlotPool(2)
    pool.lend(1, 1)
    for wrong in (lambda: pool.lend(1, 1), lambda: pool.answer(7), lambda: pool.release(1)):
        with pytest.raises(ValueError):
            wrong()


@dataclass(frozen=True)
class Ask:
    number: int
    size: int
    alone: bool
    deadline: float


asks = st.builds(
    lambda size, alone, late: (size, alone, 0.0 if late else math.inf), st.integers(1, 8), st.booleans(), st.booleans()
)


arrivals_of_three_models = st.lists(st.tuples(st.sampled_from("abc"), asks), max_size=40)


@given(arrivals_of_three_models, st.integers(8, 20))
def test_every_request_runs_once_in_order_and_in_a_batch_it_fits(
    arrivals: list[tuple[str, tuple[int, bool, float]]], room: int
) -> None:
    dropped: list[Ask] = []
    queue: BatchQueue[str, Ask] = BatchQueue(dropped.append)
    sent: dict[str, list[Ask]] = {}
    for number, (model, facts) in enumerate(arrivals):
        ask = Ask(number, *facts)
        queue.put(model, ask)
        sent.setdefault(model, []).append(ask)
    assert queue.images == sum(ask.size for asked in sent.values() for ask in asked)
    ran: dict[str, list[Ask]] = {model: [] for model in sent}
    while (turn := queue.next_model(lambda _: True)) is not None:
        batch = queue.take(turn, room, 1.0, empty=True)
        assert sum(ask.size for ask in batch) <= room
        assert len(batch) == 1 or not any(ask.alone for ask in batch)
        ran[turn] += batch
    assert queue.images == 0
    for model, asked in sent.items():
        assert ran[model] == [ask for ask in asked if ask.deadline > 1.0]
    expired = {ask.number for asked in sent.values() for ask in asked if ask.deadline <= 1.0}
    assert len(dropped) == len(expired)
    assert {ask.number for ask in dropped} == expired


def test_models_take_turns() -> None:
    queue: BatchQueue[str, Ask] = BatchQueue(lambda ask: None)
    for number in range(20):
        queue.put("busy", Ask(number, 1, False, math.inf))
    queue.put("rare", Ask(20, 1, False, math.inf))
    turns = []
    while (model := queue.next_model(lambda _: True)) is not None:
        turns.append(model)
        queue.take(model, 4, 0.0, empty=True)
    assert turns[:2] == ["busy", "rare"]
    assert queue.next_model(lambda _: True) is None


def test_an_open_batch_takes_what_fits_and_nothing_that_wants_to_be_alone() -> None:
    queue: BatchQueue[str, Ask] = BatchQueue(lambda ask: None)
    for number, (size, alone) in enumerate([(3, False), (4, False), (1, True)]):
        queue.put("m", Ask(number, size, alone, math.inf))
    assert [ask.number for ask in queue.take("m", 5, 0.0, empty=True)] == [0]
    assert [ask.number for ask in queue.take("m", 5, 0.0, empty=False)] == [1]
    assert queue.take("m", 1, 0.0, empty=False) == []
    assert [ask.number for ask in queue.take("m", 1, 0.0, empty=True)] == [2]


def test_a_batch_is_padded_to_the_next_size() -> None:
    assert [padded_size(count, (1, 8, 32)) for count in (1, 2, 8, 9, 32)] == [1, 8, 8, 32, 32]
    assert padded_size(5, ()) == 5


numbers_of_slots = st.lists(st.integers(0, 65535), min_size=1, max_size=64)


@given(
    st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.floats(allow_nan=False), st.booleans(), numbers_of_slots
)
def test_messages_come_out_as_they_went_in(
    handle: int, request_id: int, deadline: float, alone: bool, slots: list[int]
) -> None:
    submit = Submit(handle, request_id, deadline, alone, tuple(slots))
    assert unpack_submit(pack_submit(submit)) == submit
    load = Load(handle, bytes(range(32)), slots[0])
    assert unpack_load(pack_load(load)) == load
    assert unpack_done(pack_done([(request_id, Status.EXPIRED)] * 3)) == [(request_id, Status.EXPIRED)] * 3


@given(st.binary(max_size=100))
def test_a_message_that_makes_no_sense_is_refused(message: bytes) -> None:
    for unpack in (unpack_load, unpack_text):
        if len(message) != 40:
            with pytest.raises(WireError):
                unpack(message)
    if len(message) < 26:
        with pytest.raises(WireError):
            unpack_submit(message)


def test_a_long_reason_is_cut_to_a_message_that_can_be_read() -> None:
    message = pack_text(Kind.LOADED, 3, {"code": "ENGINE", "reason": "é\x00" * 5000})
    assert len(message) <= MAX_MESSAGE
    handle, document = unpack_text(message)
    assert handle == 3
    assert document["code"] == "ENGINE"
    assert document["reason"].startswith("é")


def test_an_arena_tells_a_request_of_another_and_takes_no_other_memory() -> None:
    shape = ArenaShape(4, 8, 9, 3)
    fd = Arena.create(shape)
    try:
        worker, engine = Arena(fd, shape), Arena(fd, shape)
        with pytest.raises(WireError):
            Arena(fd, ArenaShape(4096, 8, 9, 3))
        with pytest.raises(OSError, match="not permitted"):
            os.ftruncate(fd, 0)
    finally:
        os.close(fd)
    images = np.arange(2 * 8 * 9 * 3, dtype=np.uint8).reshape(2, 8, 9, 3)
    worker.fill((3, 1), images, 77)
    assert np.array_equal(engine.images[[3, 1]], images)
    assert engine.is_filled_for((3, 1), 77)
    assert not engine.is_filled_for((3, 2), 77)
    assert not engine.is_filled_for((9,), 77)
    scores = np.arange(6, dtype=np.float32).reshape(2, 3), -np.arange(6, dtype=np.float32).reshape(2, 3)
    engine.answer((3, 1), 77, scores)
    out = np.empty((2, 3), np.float32), np.empty((2, 3), np.float32)
    assert worker.read((3, 1), 77, out)
    assert np.array_equal(out[0], scores[0])
    assert np.array_equal(out[1], scores[1])
    assert not worker.read((3, 1), 78, out)


def test_a_process_that_answers_starts_again_at_once_and_one_that_never_does_ever_later() -> None:
    back_off = BackOff()
    for _ in range(50):
        back_off = back_off.after(answered=True)
        assert back_off.pause_s == 0
    pauses = []
    for _ in range(20):
        back_off = back_off.after(answered=False)
        pauses.append(back_off.pause_s)
    assert pauses[: FREE_FAILURES - 1] == [0.0] * (FREE_FAILURES - 1)
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_S


def test_a_process_that_cannot_be_started_ends_nothing_and_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pulse = Pulse.create()
    supervisor = EngineSupervisor(HostOptions(door=pulse.fd, pulse=pulse.fd), pulse, 10.0, {})
    monkeypatch.setattr("sys.executable", "/absent/python")
    for _ in range(FREE_FAILURES + 2):
        supervisor.tend()
    status = pulse.status(0)
    assert (supervisor.pid, status.state) == (0, EngineState.RESTARTING)
    assert status.restarts == FREE_FAILURES + 1, "after that it waits"
    with pytest.raises(FileNotFoundError):
        supervisor.start()  # at the server's own start it is an error


def test_loading_is_no_hang() -> None:
    assert is_stuck(11, False, 10)
    assert not is_stuck(9, False, 10)
    assert not is_stuck(60, True, 10)
    assert is_stuck(601, True, 10)


def test_each_process_sees_its_device_alone() -> None:
    cuda = ("CUDAExecutionProvider",)
    assert device_environment({}, 1, cuda)["CUDA_VISIBLE_DEVICES"] == "1"
    assert device_environment({"CUDA_VISIBLE_DEVICES": "4,GPU-abc"}, 1, cuda)["CUDA_VISIBLE_DEVICES"] == "GPU-abc"
    assert device_environment({"CUDA_VISIBLE_DEVICES": "4"}, 1, cuda)["CUDA_VISIBLE_DEVICES"] == ""
    assert device_environment({"CUDA_VISIBLE_DEVICES": ""}, 0, cuda)["CUDA_VISIBLE_DEVICES"] == ""
    assert device_environment({"A": "b"}, 0, ("CPUExecutionProvider",)) == {"A": "b"}
