"""Models in real engine processes, on the CPU: the same answers, batches, limits, and what is let go of again."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from color_bundle import color_graph
from engine_rig import (  # fmt: skip
    DIE,
    HANG,
    RAISE,
    SLOW,
    SLOW_S,
    Rig,
    check_scores,
    color_manifest,
    commanding,
    engine_rig,
    expected_scores,
    random_images,
)
from running_server import Install

from bundle.decode import ImageLimits
from bundle.errors import GoldenMismatch
from bundle.load import load_bundle
from bundle.trust import TrustStore
from server.engines import onnx_runtime
from server.engines.onnx_runtime import OnnxRuntimeEngine, OnnxRuntimeOptions
from server.engines.onnx_staging import BoundStaging
from server.engines.process.pulse import EngineState
from server.engines.process.staging import new_staging
from server.engines.protocol import is_ready
from server.engines.providers import CPU
from server.errors import DeadlineExceeded, DeviceFailed, EngineError, EngineRestarting, GraphMismatch, QueueFull
from server.models.loader import load_model


def open_descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with engine_rig() as rig:
        yield rig


@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 64, 200])
def test_the_answers_are_those_of_the_graph(rig: Rig, count: int) -> None:
    images = random_images(count, seed=count)
    engine = rig.load()
    assert engine.providers == ("CPUExecutionProvider",)
    engine.warm_up()
    check_scores(engine.infer(images), expected_scores(images))
    engine.close()


def test_many_threads_get_each_its_own_answer_and_batches_form_by_themselves(rig: Rig) -> None:
    engine = rig.load()
    images = random_images(300)
    wanted = expected_scores(images)
    before = rig.processes.status[0]

    def ask(thread: int) -> None:
        random = np.random.default_rng(thread)
        for _ in range(60):
            at, count = int(random.integers(0, 290)), int(random.integers(1, 10))
            check_scores(
                engine.infer(images[at : at + count]), (wanted[0][at : at + count], wanted[1][at : at + count])
            )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))
    after = rig.processes.status[0]
    assert after.images - before.images >= 8 * 60
    assert (after.images - before.images) / (after.batches - before.batches) > 5.5  # one request has 5 on average
    rig.wait(lambda: rig.processes.status[0].pending == 0, "nothing is pending")
    engine.close()


def test_models_share_a_process_and_never_a_batch(rig: Rig) -> None:
    graphs = [color_graph(gain) for gain in (0.01, 0.02, 0.03)]
    engines = [rig.load(graph, f"gain-{number}") for number, graph in enumerate(graphs)]
    images = random_images(50)

    def ask(number: int) -> None:
        for _ in range(20):
            check_scores(engines[number % 3].infer(images), expected_scores(images, graphs[number % 3]))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(ask, range(6)))
    for engine in engines:
        engine.close()


def test_a_model_is_held_once_and_let_go_with_its_last_user(rig: Rig) -> None:
    rig.load().close()  # the runtime opens some for itself with its first model
    rig.wait(lambda: rig.processes.status[0].models == 0, "no model")
    descriptors = open_descriptors(rig.pid)
    for _ in range(3):
        one, other = rig.load(), rig.load()
        assert rig.processes.status[0].models == 1
        one.close()
        check_scores(other.infer(random_images(2)), expected_scores(random_images(2)))
        other.close()
        rig.wait(lambda: rig.processes.status[0].models == 0, "the model is let go")
    # Fewer, where models of earlier tests still had some.
    rig.wait(lambda: open_descriptors(rig.pid) <= descriptors, "its descriptors too")


def test_a_graph_that_does_not_load_says_why_and_harms_no_other(rig: Rig) -> None:
    engine = rig.load()
    with pytest.raises(EngineError, match="refuses it"):
        rig.load(b"no graph at all", "broken")
    with pytest.raises(GraphMismatch, match="expected input 'images'"):
        rig.load(color_graph(fixed_batch=True), "fixed")
    check_scores(engine.infer(random_images(3)), expected_scores(random_images(3)))
    engine.close()


def test_an_image_that_fails_spoils_no_other_in_its_batch(rig: Rig) -> None:
    engine = rig.load()
    images = random_images(6)
    slow = threading.Thread(target=engine.infer, args=(commanding(images[0], SLOW)[None],))
    slow.start()  # so that the rest waits, and forms one batch
    time.sleep(SLOW_S / 2)
    with ThreadPoolExecutor(6) as pool:
        bad = pool.submit(engine.infer, commanding(images[0], RAISE)[None])
        good = [pool.submit(engine.infer, image[None]) for image in images[1:]]
        with pytest.raises(EngineError, match="failed on this image"):
            bad.result()
        for image, answer in zip(images[1:], good, strict=True):
            check_scores(answer.result(), expected_scores(image[None]))
    slow.join()
    engine.close()


def test_nobody_waits_past_a_deadline_and_a_late_answer_reaches_nobody(rig: Rig) -> None:
    engine = rig.load()
    images = random_images(40)
    slow = commanding(images[0], SLOW)[None]
    for _ in range(3):
        with pytest.raises(DeadlineExceeded):  # it runs already
            engine.infer(slow, time.monotonic() + SLOW_S / 4)
        with pytest.raises(DeadlineExceeded):  # it is still queued, and never runs
            engine.infer(commanding(images[0], RAISE)[None], time.monotonic() + SLOW_S / 4)
        check_scores(engine.infer(images), expected_scores(images))
    with pytest.raises(DeadlineExceeded):
        engine.infer(images, time.monotonic() - 1)
    check_scores(engine.infer(images), expected_scores(images))
    rig.wait(lambda: rig.processes.status[0].pending == 0, "nothing is pending")
    engine.close()


def test_what_is_more_than_the_queue_holds_is_refused_and_the_rest_is_answered() -> None:
    with engine_rig(slots=4, room_wait_s=0.05) as rig:
        engine = rig.load()
        images = random_images(12)

        def ask(image: np.ndarray) -> str:
            try:
                check_scores(engine.infer(image[None]), expected_scores(image[None]))
            except QueueFull:
                return "full"
            return "answered"

        slow = np.stack([commanding(image, SLOW) for image in images])
        with ThreadPoolExecutor(12) as pool:
            outcomes = list(pool.map(ask, slow))
        assert set(outcomes) == {"full", "answered"}
        assert outcomes.count("answered") >= 4
        check_scores(engine.infer(images), expected_scores(images))  # more than there are slots, one after the other


def test_requests_go_to_every_device_and_around_one_that_is_down() -> None:
    with engine_rig(devices=(0, 1)) as rig:
        engine = rig.load()
        images = random_images(20)
        for image in images:
            check_scores(engine.infer(image[None]), expected_scores(image[None]))
        assert all(status.images >= 5 for status in rig.processes.status)
        os.kill(rig.processes.status[1].pid, 9)
        for image in images:
            check_scores(engine.infer(image[None]), expected_scores(image[None]))
        rig.wait(lambda: rig.processes.status[1].models == 1, "the other is back")


def test_every_device_proves_itself_before_a_model_serves(install: Install) -> None:
    bundle = load_bundle(install.add_bundle(), TrustStore(install.home.trust_dir))
    with engine_rig(devices=(0, 1)) as rig:
        model = load_model(bundle, "default", "c.onsight", rig.processes.factory(), ImageLimits())
        assert model.golden_difference < 1e-3
        model.engine.close()
    with engine_rig(devices=(0, 1), builder="engine_rig:builder_of_a_liar") as rig:
        for _ in range(2):  # whichever device would be asked first
            with pytest.raises(GoldenMismatch):
                load_model(bundle, "default", "c.onsight", rig.processes.factory(), ImageLimits())


def test_two_lanes_answer_as_one_does() -> None:
    with engine_rig(lanes=2) as rig:
        engine = rig.load()
        images = random_images(100)
        wanted = expected_scores(images)
        with ThreadPoolExecutor(8) as pool:
            for answer in pool.map(lambda _: engine.infer(images), range(40)):
                check_scores(answer, wanted)


def test_fixed_sizes_in_bound_buffers_give_the_answers_of_the_graph() -> None:
    engine = OnnxRuntimeEngine(color_manifest(), color_graph(), OnnxRuntimeOptions())
    staging = new_staging(engine, color_manifest(), (1, 4, 8), fixed=True)
    assert isinstance(staging, BoundStaging)
    images = random_images(40)
    for begin, count in ((0, 1), (1, 3), (4, 4), (8, 7), (15, 8), (23, 2)):
        staging.put(0, list(images[begin : begin + 1]))
        staging.put(1, list(images[begin + 1 : begin + count]))
        check_scores(staging.infer(count), expected_scores(images[begin : begin + count]))


def test_where_a_provider_plans_for_one_batch_size_each_size_has_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_runtime, "ONE_SESSION_A_SIZE", {CPU})
    engine = OnnxRuntimeEngine(color_manifest(), color_graph(), OnnxRuntimeOptions(max_batch=8))
    ran: list[tuple[int, int]] = []  # session and batch size

    def watch(session: Any) -> Any:
        run = session.run

        def watched(names: list[str], feeds: dict[str, Any]) -> Any:
            ran.append((id(session), *map(len, feeds.values())))
            return run(names, feeds)

        session.run = watched
        return session

    images = random_images(21)
    for size in (1, 8):
        watch(engine._session_for(size))
    for count in (1, 3, 8, 21, 1):
        check_scores(engine.infer(images[:count]), expected_scores(images[:count]))
    assert [size for _, size in ran] == [1, 8, 8, 8, 8, 8, 1]
    assert len(set(ran)) == len({session for session, _ in ran}) == 2, "a session ran batches of two sizes"
    first, second = (engine.new_staging((1, 4)) for _ in range(2))
    assert [each.session for each in first._bound] == [each.session for each in second._bound]
    assert first._bound[0].session is not first._bound[1].session
    for count in (1, 2, 4):
        first.put(0, list(images[:count]))
        check_scores(first.infer(count), expected_scores(images[:count]))


def test_a_bound_run_that_fails_is_the_device_s_failure_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = OnnxRuntimeEngine(color_manifest(), color_graph(), OnnxRuntimeOptions())
    staging = engine.new_staging((1, 4))

    class Refusing:
        def run_with_iobinding(self, _binding: object) -> None:
            raise RuntimeError("CUDA failure 700: an illegal memory access was encountered")

    monkeypatch.setattr(staging, "_bound", [replace(each, session=Refusing()) for each in staging._bound])
    with pytest.raises(RuntimeError, match="CUDA failure 700"):
        staging.infer(1)
    monkeypatch.setattr(staging, "_accelerated", True)
    with pytest.raises(DeviceFailed, match="expected it to run 4 images"):
        staging.infer(3)


def test_a_process_that_was_killed_is_back_and_nobody_saw_it_but_by_the_time(rig: Rig) -> None:
    engine = rig.load()
    images = random_images(30)
    wanted = expected_scores(images)
    over = threading.Event()
    answered = [0] * 4

    def ask(number: int) -> None:
        while not over.is_set():
            check_scores(engine.infer(images[:3], time.monotonic() + 60), (wanted[0][:3], wanted[1][:3]))
            answered[number] += 1

    def all_go_on() -> None:  # a request that is killed twice would be refused
        before = list(answered)

        def went_on() -> bool:
            for asker in askers:
                if asker.done():  # only by an error, which says more than that nobody is answered
                    asker.result()
            return all(now > then + 1 for now, then in zip(answered, before, strict=True))

        rig.wait(went_on, "all are answered")

    with ThreadPoolExecutor(4) as pool:
        askers = [pool.submit(ask, number) for number in range(4)]
        try:
            for _ in range(2):
                all_go_on()
                rig.kill()
                rig.wait(lambda: engine.ready, "the model is ready again")
                check_scores(engine.infer(images), wanted)
            all_go_on()
        finally:
            over.set()
        for asker in askers:
            asker.result()
    engine.close()


def test_an_image_that_kills_the_process_is_tried_twice_and_takes_no_other_with_it(rig: Rig) -> None:
    engine = rig.load()
    image = random_images(1)[0]
    restarts = rig.processes.status[0].restarts
    with pytest.raises(EngineRestarting):
        engine.infer(commanding(image, DIE)[None])
    check_scores(engine.infer(image[None]), expected_scores(image[None]))
    assert rig.processes.status[0].restarts == restarts + 2
    engine.close()


def test_a_model_that_kills_the_process_while_it_loads_is_given_up_and_others_serve(rig: Rig) -> None:
    engine = rig.load()
    with pytest.raises(EngineError, match="ended each time"):
        rig.load(name="deadly")
    check_scores(engine.infer(random_images(2)), expected_scores(random_images(2)))
    engine.close()


@pytest.mark.slow
def test_a_process_that_hangs_is_ended_and_started_again() -> None:
    with engine_rig(timeout_s=3) as rig:
        engine = rig.load()
        image = random_images(1)[0]
        hanging = commanding(image, HANG)[None]
        with pytest.raises(DeadlineExceeded):
            engine.infer(hanging, time.monotonic() + 0.2)
        rig.wait(lambda: rig.processes.status[0].restarts == 1, "it is started again")
        check_scores(engine.infer(image[None]), expected_scores(image[None]))
        os.kill(rig.pid, 19)  # SIGSTOP: not even a heartbeat
        check_scores(engine.infer(image[None]), expected_scores(image[None]))
        assert rig.processes.status[0].restarts == 2
        assert is_ready(engine)


@pytest.mark.slow
def test_a_process_that_cannot_start_is_tried_ever_more_rarely_and_callers_hear_it() -> None:
    with engine_rig(builder="engine_rig:no_such_builder") as rig:
        rig.wait(lambda: rig.processes.status[0].state is EngineState.BACKING_OFF, "it backs off")
        assert rig.processes.status[0].pid == 0
