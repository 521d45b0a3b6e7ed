"""Which provider runs a model: the first of the list, a later one only where that was declared, and always said."""

from __future__ import annotations

from pathlib import Path

import pytest
from color_bundle import color_graph
from engine_rig import check_scores, color_manifest, expected_scores, random_images
from fake_gpu import PROBE, FakeGpu
from fake_tensorrt import FakeTensorRT, fake_builder

from server.engines.device_probe import DeviceProbe
from server.engines.factory import EngineBuilder, EngineOptions
from server.engines.process.options import HostOptions
from server.engines.providers import CPU, CUDA, TENSORRT
from server.errors import EngineError, GraphMismatch, ProviderMismatch
from server.hosting.engines import engine_processes
from server.settings import ServerSettings

NO_DRIVER = DeviceProbe(reason="no NVIDIA driver: libcuda.so.1 is not on this machine")


def builder(*providers: str, fallback: bool = False, probe: DeviceProbe = NO_DRIVER) -> EngineBuilder:
    return EngineBuilder(EngineOptions(providers, fallback), lambda: probe)


def test_names_are_understood_and_onnx_runtime_s_own_tensorrt_is_refused() -> None:
    assert ServerSettings(providers="tensorrt, CUDA,cpu").providers == (TENSORRT, CUDA, CPU)
    assert ServerSettings(providers="OpenVINOExecutionProvider").providers == ("OpenVINOExecutionProvider",)
    assert ServerSettings(providers="tensorrt").uses_engine_processes
    with pytest.raises(ValueError, match="expected `tensorrt`, which is TensorRT itself"):
        ServerSettings(providers="TensorrtExecutionProvider,cpu")


def test_the_first_provider_runs_the_model_where_it_can() -> None:
    gpu = FakeGpu()
    engine = fake_builder(EngineOptions((TENSORRT, CPU), fallback=True), gpu, FakeTensorRT(gpu)).build(
        color_manifest(), color_graph()
    )
    assert engine.providers == (TENSORRT,)
    engine = builder(CPU, TENSORRT).build(color_manifest(), color_graph())
    assert engine.providers == (CPU,)
    assert engine.device == "CPU"
    assert engine.library.startswith("ONNX Runtime 1.")


def test_settings_reach_the_engine_process_of_each_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    settings = ServerSettings(
        home=tmp_path, providers="tensorrt,cpu", provider_fallback=True, devices="1,2", batch_sizes="1,4",
        engine_cache_bytes=12345,
    )  # fmt: skip
    processes = engine_processes(settings)
    assert processes is not None
    for supervisor, device, visible in zip(processes._supervisors, (1, 2), ("7", ""), strict=True):
        options = HostOptions.from_json(supervisor._options.to_json())
        assert (options.providers, options.fallback, options.device) == ((TENSORRT, CPU), True, device)
        assert (options.home, options.engine_cache_bytes) == (str(tmp_path), 12345)
        assert options.sizes_on(TENSORRT) == (1, 4)
        assert supervisor._environ["CUDA_VISIBLE_DEVICES"] == visible
    processes.stop()


@pytest.mark.parametrize("first", [TENSORRT, CUDA])
def test_without_a_declared_fallback_a_gpu_that_is_not_there_is_an_error_that_says_what_to_do(first: str) -> None:
    with pytest.raises(ProviderMismatch) as failure:
        builder(first, CPU).build(color_manifest(), color_graph())
    assert "expected an NVIDIA GPU, found no NVIDIA driver" in str(failure.value)
    assert "ONSIGHT_PROVIDER_FALLBACK=true, to serve on CPUExecutionProvider meanwhile" in str(failure.value)
    with pytest.raises(ProviderMismatch) as failure:
        builder(first).build(color_manifest(), color_graph())
    assert "FALLBACK" not in str(failure.value)


def test_a_declared_fallback_is_taken_in_order_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    engine = builder(TENSORRT, CUDA, CPU, fallback=True).build(color_manifest(), color_graph())
    assert engine.providers == (CPU,)
    images = random_images(3)
    check_scores(engine.infer(images), expected_scores(images))
    said = [(record.message, record.__dict__.get("provider")) for record in caplog.records]
    assert said == [
        ("provider not used", TENSORRT),
        ("provider not used", CUDA),
        ("fallback: the model runs on a later provider", CPU),
    ]


def test_a_graph_that_tensorrt_cannot_read_goes_to_the_next_provider() -> None:
    gpu = FakeGpu()
    trt = FakeTensorRT(gpu)
    trt.unsupported = {"MatMul"}
    options = EngineOptions((TENSORRT, CPU), fallback=True)
    assert fake_builder(options, gpu, trt).build(color_manifest(), color_graph()).providers == (CPU,)
    trt.unsupported = set()
    assert fake_builder(options, gpu, trt).build(color_manifest(), color_graph()).providers == (TENSORRT,)


def test_whatever_a_runtime_throws_the_next_provider_serves(caplog: pytest.LogCaptureFixture) -> None:
    def explode(*_arguments: object) -> object:
        raise MemoryError("of the device")

    options = EngineOptions((TENSORRT, CPU), fallback=True)
    engine = EngineBuilder(options, lambda: PROBE, explode).build(color_manifest(), color_graph())  # type: ignore[arg-type]
    assert engine.providers == (CPU,)
    assert "provider failed" in caplog.messages
    with pytest.raises(EngineError, match=r"TensorRT fails at it \(MemoryError\)"):
        EngineBuilder(EngineOptions((TENSORRT,)), lambda: PROBE, explode).build(  # type: ignore[arg-type]
            color_manifest(), color_graph()
        )


def test_where_none_of_the_providers_can_be_used_each_says_why() -> None:
    with pytest.raises(ProviderMismatch) as failure:
        builder(TENSORRT, CUDA, fallback=True).build(color_manifest(), color_graph())
    assert "expected one of TensorRT, CUDAExecutionProvider, found that none can be used" in str(failure.value)
    assert str(failure.value).count("no NVIDIA driver") == 2


def test_a_bundle_that_is_wrong_is_wrong_on_every_provider() -> None:
    gpu = FakeGpu()
    trt = FakeTensorRT(gpu)
    engines = fake_builder(EngineOptions((TENSORRT, CPU), fallback=True), gpu, trt)
    with pytest.raises(GraphMismatch):
        engines.build(color_manifest(), color_graph(fixed_batch=True))
    with pytest.raises(EngineError, match=r"ONNX Runtime .* refuses it"):
        engines.build(color_manifest(), b"\x08\x0anot a graph")


def test_a_driver_that_is_back_is_asked_again() -> None:
    answers = iter([NO_DRIVER, PROBE])
    gpu = FakeGpu()
    engines = fake_builder(EngineOptions((TENSORRT,)), gpu, FakeTensorRT(gpu), lambda: next(answers))
    with pytest.raises(ProviderMismatch, match="no NVIDIA driver"):
        engines.build(color_manifest(), color_graph())
    for _ in range(2):
        assert engines.build(color_manifest(), color_graph()).providers == (TENSORRT,)
