"""The TensorRT engine on hardware that is not there: what is built, kept and run, and what becomes of every failure."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from color_bundle import SIDE, color_graph
from engine_rig import check_scores, color_manifest, commanding, expected_scores, random_images
from fake_gpu import BREAKS_THE_DEVICE, L4, PROBE, FakeGpu
from fake_tensorrt import FakeTensorRT, open_provider

from server.engines.device_probe import DeviceProbe
from server.engines.tensorrt.engine import TensorRTEngine
from server.engines.tensorrt.library import load_tensorrt
from server.engines.tensorrt.provider import CACHE_FOLDER, DEFAULT_WORKSPACE_BYTES, TensorRTOptions
from server.engines.tensorrt.slot import Slot
from server.errors import DeadlineExceeded, DeviceFailed, EngineError, GraphMismatch, ProviderMismatch

SIZES = (1, 4, 8)


@pytest.fixture
def gpu() -> FakeGpu:
    return FakeGpu()


@pytest.fixture
def trt(gpu: FakeGpu) -> FakeTensorRT:
    return FakeTensorRT(gpu)


@pytest.fixture
def options(tmp_path: Path) -> TensorRTOptions:
    return TensorRTOptions(0, SIZES, tmp_path / "home", 1 << 30)


def build(
    options: TensorRTOptions, trt: FakeTensorRT, probe: DeviceProbe = PROBE, graph: bytes | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> TensorRTEngine:  # fmt: skip
    """As a server that has just started does."""
    graph = graph or color_graph()
    return open_provider(options, probe, trt.gpu, trt).build(color_manifest(graph=graph), graph, progress)


# ---- running


def test_the_answers_are_those_of_the_graph_whatever_the_number_of_images(
    options: TensorRTOptions, trt: FakeTensorRT, gpu: FakeGpu
) -> None:
    engine = build(options, trt)
    engine.warm_up()
    assert engine.providers == ("TensorRT",)
    assert (engine.library, engine.device) == ("TensorRT 11.4.0.106, fake memory 1.0", "NVIDIA L4")
    images = random_images(100)
    for count in (1, 2, 7, 8, 9, 32, 100, 3):
        check_scores(engine.infer(images[:count]), expected_scores(images[:count]))
    assert gpu.most_streams_busy == 2, "one batch is copied while another computes"
    engine.close()
    assert gpu.is_empty


def test_many_threads_at_once_share_two_slots_and_get_their_own_answers(
    options: TensorRTOptions, trt: FakeTensorRT, gpu: FakeGpu
) -> None:
    engine = build(options, trt)

    def ask(seed: int) -> None:
        gpu.make_current()
        for count in (1, 5, 20):
            images = random_images(count, seed)
            check_scores(engine.infer(images), expected_scores(images))

    with ThreadPoolExecutor(6) as pool:
        for asked in [pool.submit(ask, seed) for seed in range(24)]:
            asked.result()
    assert len(gpu.streams) == 2
    engine.close()
    assert gpu.is_empty


def test_a_slot_fills_while_another_runs_and_pads_with_what_nobody_sees(
    options: TensorRTOptions, trt: FakeTensorRT
) -> None:
    engine = build(options, trt)
    one, other = engine.new_staging((1, 4)), engine.new_staging((2, 8))
    assert isinstance(one, Slot)
    images = random_images(30)
    one.put(0, list(images[:3]))
    one.start(3)
    other.put(0, list(images[3:4]))
    other.put(1, list(images[4:10]))
    other.start(7)
    check_scores(one.finish(), expected_scores(images[:3]))
    check_scores(other.finish(), expected_scores(images[3:10]))
    other.put(0, list(images[20:21]))
    check_scores(other.infer(1), expected_scores(images[20:21]))
    with pytest.raises(EngineError, match="expected at most 8"):
        engine.new_staging((1, 16))
    engine.close()


def test_what_is_too_late_does_not_wait_for_a_busy_device(options: TensorRTOptions, trt: FakeTensorRT) -> None:
    engine = build(options, trt)
    busy = [engine._take_slot(None), engine._take_slot(None)]
    with pytest.raises(DeadlineExceeded):
        engine.infer(random_images(1), time.monotonic() + 0.05)
    for slot in busy:
        engine._idle.put(slot)
    check_scores(engine.infer(random_images(1), time.monotonic() + 60), expected_scores(random_images(1)))


def test_a_device_without_room_is_told_and_leaves_nothing_behind(options: TensorRTOptions, trt: FakeTensorRT) -> None:
    engine = build(options, trt)
    trt.gpu.room = SIZES[-1] * SIDE * SIDE * 3 + 200  # one slot and not two
    images = random_images(20)
    check_scores(engine.infer(images[:8]), expected_scores(images[:8]))
    with pytest.raises(DeviceFailed, match="cudaErrorMemoryAllocation"):
        engine.infer(images)
    check_scores(engine.infer(images[:8]), expected_scores(images[:8]))
    trt.gpu.room *= 2
    check_scores(engine.infer(images), expected_scores(images))
    engine._engine.contexts_left = 0
    with pytest.raises(EngineError, match="another execution context"):
        engine.new_staging(SIZES)
    engine.close()
    assert trt.gpu.is_empty


def test_a_device_that_fails_in_the_midst_fails_the_request_and_hangs_nobody(
    options: TensorRTOptions, trt: FakeTensorRT
) -> None:
    engine = build(options, trt)
    images = random_images(40)
    images[20] = commanding(images[20], BREAKS_THE_DEVICE)
    for _ in range(3):
        with pytest.raises(DeviceFailed, match="cudaErrorIllegalAddress"):
            engine.infer(images)


# ---- building


def test_a_build_asks_for_full_precision_one_profile_and_bounded_memory(
    options: TensorRTOptions, trt: FakeTensorRT, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    build(options, trt, progress=said.append)
    (config,) = trt.builds
    assert config.flags == set()
    assert config.limits == {trt.MemoryPoolType.WORKSPACE: DEFAULT_WORKSPACE_BYTES}
    row = (SIDE, SIDE, 3)
    assert config.profiles[0].shapes == {"images": ((1, *row), (4, *row), (8, *row))}
    assert said[0].startswith("building the TensorRT engine: 0%")
    monkeypatch.setattr("fake_gpu.FakeMemory.device", dataclasses.replace(L4, memory_bytes=2 << 30))
    build(options, trt)
    assert trt.builds[1].limits == {trt.MemoryPoolType.WORKSPACE: 1 << 30}


def test_the_second_start_takes_the_engine_that_was_built(options: TensorRTOptions, trt: FakeTensorRT) -> None:
    first = build(options, trt)
    again = build(options, trt)
    images = random_images(9)
    check_scores(again.infer(images), first.infer(images))
    assert len(trt.builds) == 1
    build(dataclasses.replace(options, home=None), trt)
    build(dataclasses.replace(options, cache_bytes=0), trt)
    assert len(trt.builds) == 3, "without a cache it is built each time"


@pytest.mark.parametrize(
    ("probe", "change", "version", "graph"),
    [
        pytest.param(dataclasses.replace(PROBE, driver_version="590.1"), {}, None, None, id="driver"),
        pytest.param(dataclasses.replace(PROBE, cuda_version="13.2"), {}, None, None, id="cuda"),
        pytest.param(PROBE, {"batch_sizes": (1, 4, 16)}, None, None, id="batch sizes"),
        pytest.param(PROBE, {"workspace_bytes": 1 << 30}, None, None, id="workspace"),
        pytest.param(PROBE, {}, "11.5.0.1", None, id="TensorRT"),
        pytest.param(PROBE, {}, None, color_graph(0.05), id="graph"),
    ],
)
def test_an_engine_is_built_anew_for_anything_that_it_depends_on(
    probe: DeviceProbe, change: dict[str, Any], version: str | None, graph: bytes | None,
    options: TensorRTOptions, trt: FakeTensorRT, gpu: FakeGpu,
) -> None:  # fmt: skip
    build(options, trt)
    later = FakeTensorRT(gpu, version or trt.__version__)
    engine = build(dataclasses.replace(options, **change), later, probe, graph)
    assert len(later.builds) == 1
    images = random_images(3)
    check_scores(engine.infer(images), expected_scores(images, graph))
    build(options, trt)
    assert len(trt.builds) == 1, "the earlier one is still there"


@pytest.mark.parametrize("change", [{"name": "NVIDIA L40"}, {"compute_capability": (9, 0)}, {"multiprocessors": 60}])
def test_an_engine_of_another_kind_of_board_is_not_used(
    change: dict[str, Any], options: TensorRTOptions, trt: FakeTensorRT, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(options, trt)
    monkeypatch.setattr("fake_gpu.FakeMemory.device", dataclasses.replace(L4, uuid="GPU-of-the-same-kind"))
    build(options, trt)
    assert len(trt.builds) == 1
    monkeypatch.setattr("fake_gpu.FakeMemory.device", dataclasses.replace(L4, **change))
    build(options, trt)
    assert len(trt.builds) == 2


def test_a_build_starts_from_the_timings_of_the_last_one(options: TensorRTOptions, trt: FakeTensorRT) -> None:
    build(options, trt)
    build(options, trt, graph=color_graph(0.05))
    assert [bool(config.known_timings) for config in trt.builds] == [False, True]


def plans(options: TensorRTOptions) -> list[Path]:
    assert options.home is not None
    return [file for file in (options.home / CACHE_FOLDER).glob("plan-*") if file.suffix != ".json"]


def test_a_plan_that_was_changed_never_reaches_tensorrt(
    options: TensorRTOptions, trt: FakeTensorRT, caplog: pytest.LogCaptureFixture
) -> None:
    build(options, trt)
    (plan,) = plans(options)
    plan.write_bytes(plan.read_bytes().replace(b"11.4.0.106", b"11.4.0.107"))  # the fake asserts that it sees none
    engine = build(options, trt)
    assert len(trt.builds) == 2
    assert any("its seal is not of this install" in record.__dict__.get("reason", "") for record in caplog.records)
    check_scores(engine.infer(random_images(2)), expected_scores(random_images(2)))


def test_a_plan_that_tensorrt_refuses_is_built_anew(options: TensorRTOptions, trt: FakeTensorRT) -> None:
    build(options, trt)
    trt.refused_plans = 1
    check_scores(build(options, trt).infer(random_images(2)), expected_scores(random_images(2)))
    assert len(trt.builds) == 2
    trt.refused_plans = 2
    with pytest.raises(EngineError, match=r"expected the engine that it built to load.*not compatible"):
        build(options, trt)


def test_a_cache_that_cannot_be_written_costs_time_and_nothing_else(
    tmp_path: Path, trt: FakeTensorRT, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    options = TensorRTOptions(0, SIZES, tmp_path / "file", 1 << 30)
    check_scores(build(options, trt).infer(random_images(2)), expected_scores(random_images(2)))
    assert "engine cache not used: engines are built at each start" in caplog.messages
    small = TensorRTOptions(0, SIZES, tmp_path / "home", 100)
    check_scores(build(small, trt).infer(random_images(2)), expected_scores(random_images(2)))
    assert "not kept in the engine cache" in caplog.messages
    (tmp_path / "other" / "cache").mkdir(parents=True)
    (tmp_path / "other" / CACHE_FOLDER).write_text("no folder")
    other = TensorRTOptions(0, SIZES, tmp_path / "other", 1 << 30)
    check_scores(build(other, trt).infer(random_images(2)), expected_scores(random_images(2)))
    assert "engine cache not used" in caplog.messages


def test_two_that_start_together_build_once_and_the_second_says_that_it_waits(
    options: TensorRTOptions, trt: FakeTensorRT
) -> None:
    building, may_end, said = threading.Event(), threading.Event(), list[str]()

    def pause() -> None:
        building.set()
        assert may_end.wait(30)

    trt.pause = pause
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(build, options, trt)
        assert building.wait(30)
        second = pool.submit(build, options, trt, progress=lambda text: (said.append(text), may_end.set())[0])
        engines = [first.result(30), second.result(30)]
    assert said == ["another process builds the TensorRT engine"]
    assert len(trt.builds) == 1
    for engine in engines:
        check_scores(engine.infer(random_images(2)), expected_scores(random_images(2)))


# ---- refusals


def test_every_complaint_of_the_parser_is_told(options: TensorRTOptions, trt: FakeTensorRT) -> None:
    trt.unsupported = {"MatMul", "Softmax"}
    with pytest.raises(EngineError) as failure:
        build(options, trt)
    assert "node 2 (MatMul, UNSUPPORTED_NODE): No importer registered for op: MatMul" in str(failure.value)
    assert "node 3 (Softmax, UNSUPPORTED_NODE): No importer registered for op: Softmax" in str(failure.value)
    assert "Set ONSIGHT_PROVIDERS to cuda" in str(failure.value)
    with pytest.raises(EngineError, match="MODEL_DESERIALIZE_FAILED"):
        open_provider(options, PROBE, trt.gpu, trt).build(color_manifest(), b"\x08\x0anot a graph", lambda text: None)


def test_a_graph_that_is_not_the_manifest_s_is_refused(options: TensorRTOptions, trt: FakeTensorRT) -> None:
    with pytest.raises(GraphMismatch, match="-1 for any batch"):
        build(options, trt, graph=color_graph(fixed_batch=True))
    manifest = color_manifest()
    outputs = tuple(output.model_copy(update={"shape": ("batch", 4)}) for output in manifest.outputs)
    provider = open_provider(options, PROBE, trt.gpu, trt)
    with pytest.raises(GraphMismatch, match=r"\['batch', 4\]"):
        provider.build(manifest.model_copy(update={"outputs": outputs}), color_graph(), lambda text: None)


def test_a_build_that_fails_says_why(options: TensorRTOptions, trt: FakeTensorRT) -> None:
    trt.fails_to_build = "Could not find any implementation for node conv_1"
    with pytest.raises(EngineError, match=r"builds no engine of it \(Could not find any implementation"):
        build(options, trt)
    assert plans(options) == []


def test_a_tensorrt_that_does_not_start_is_a_mismatch_of_the_provider(
    options: TensorRTOptions, trt: FakeTensorRT
) -> None:
    trt.starts = False
    with pytest.raises(ProviderMismatch, match=r"CUDA initialization failure with error: 35.*driver that is new"):
        build(options, trt)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (None, "not_there is not installed"),
        ("__version__ = '10.14.1'", r"version 11 or newer, found 10\.14\.1"),
        ("__version__ = 'unknown'", "version 11 or newer, found unknown"),
        ("raise OSError('libnvinfer.so.11: cannot open shared object file')", r"found libnvinfer\.so\.11"),
        ("import another_package_that_is_not_there", "another_package_that_is_not_there is not installed"),
    ],
)
def test_a_tensorrt_that_is_absent_old_or_broken_is_told_apart(
    source: str | None, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    name = "not_there" if source is None else f"tensorrt_{abs(hash(source))}"
    if source is not None:
        (tmp_path / f"{name}.py").write_text(source)
    with pytest.raises(ProviderMismatch, match=reason):
        load_tensorrt(name)


def test_a_tensorrt_that_is_new_enough_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "tensorrt_of_tomorrow.py").write_text("__version__ = '12.0.1'")
    assert load_tensorrt("tensorrt_of_tomorrow").__version__ == "12.0.1"
