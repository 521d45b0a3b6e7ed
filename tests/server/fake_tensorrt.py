"""TensorRT where there is none: the same calls under the same rules, computed by ONNX Runtime. See fake_gpu for memory.

As strict as the real one: networks are strongly typed, shapes must be in the profile, the monitor is called from other
threads, and an exception of it would end the process. A rule that is broken is an AssertionError.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from fake_gpu import PROBE, FakeGpu, FakeMemory

from server.engines.device_memory import require_device
from server.engines.device_probe import DeviceProbe
from server.engines.factory import EngineBuilder, EngineOptions
from server.engines.process.options import HostedFactory, HostOptions
from server.engines.tensorrt.provider import TensorRTOptions, TensorRTProvider

PHASES = (("Building engine", None, 2), ("Timing tactics", "Building engine", 10))


class _Severity(Enum):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class _Logger:
    Severity = _Severity


class _Monitor:
    def __init__(self) -> None:
        self.is_made = True  # a subclass that forgets to call this is refused


class FakeTensorRT:
    """The module. builds: how many there were, with what they were asked for.

    starts: whether the driver suits it.  unsupported: operators that the parser refuses.  refused_plans: how many it
    will not deserialise.  fails_to_build: why.  pause: called in the midst of a build.
    """

    ILogger = _Logger
    IProgressMonitor = _Monitor
    MemoryPoolType = Enum("MemoryPoolType", "WORKSPACE DLA_MANAGED_SRAM")
    BuilderFlag = Enum("BuilderFlag", "TF32 VERSION_COMPATIBLE")
    TensorIOMode = Enum("TensorIOMode", "NONE INPUT OUTPUT")
    DataType = Enum("DataType", "FLOAT UINT8")

    def __init__(self, gpu: FakeGpu, version: str = "11.4.0.106") -> None:
        self.__version__ = version
        self.gpu = gpu
        self.starts = True
        self.unsupported: set[str] = set()
        self.refused_plans = 0
        self.fails_to_build = ""
        self.builds: list[_Config] = []
        self.pause: Callable[[], None] = lambda: None

    def Builder(self, logger: Any) -> _Builder:
        self._check(logger)
        return _Builder(self, logger)

    def Runtime(self, logger: Any) -> _Runtime:
        self._check(logger)
        return _Runtime(self, logger)

    def OnnxParser(self, network: _Network, logger: Any) -> _Parser:
        self._check(logger)
        return _Parser(self, network)

    def nptype(self, dtype: Any) -> type:
        return {self.DataType.FLOAT: np.float32, self.DataType.UINT8: np.uint8}[dtype]

    def _check(self, logger: Any) -> None:
        assert isinstance(logger, _Logger)
        assert getattr(self.gpu._current, "set", False), "this thread has not made the device its own"
        if not self.starts:
            logger.log(_Severity.ERROR, "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")


class _Tensor:
    def __init__(self, value: Any) -> None:
        tensor = value.type.tensor_type
        self.name: str = value.name
        self.dtype: int = tensor.elem_type
        self.shape = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim)


class _Network:
    def __init__(self) -> None:
        self.graph = b""
        self.inputs: list[_Tensor] = []
        self.outputs: list[_Tensor] = []

    @property
    def num_inputs(self) -> int:
        return len(self.inputs)

    def get_input(self, index: int) -> _Tensor:
        return self.inputs[index]


class _Complaint:
    def __init__(self, node: int, operator: str, code: str, text: str) -> None:
        self.node = lambda: node
        self.node_operator = lambda: operator
        self.code = lambda: Enum("ErrorCode", [code])[code]
        self.desc = lambda: text


class _Parser:
    def __init__(self, trt: FakeTensorRT, network: _Network) -> None:
        self._trt, self._network = trt, network
        self._complaints: list[_Complaint] = []

    @property
    def num_errors(self) -> int:
        return len(self._complaints)

    def get_error(self, index: int) -> _Complaint:
        return self._complaints[index]

    def parse(self, graph: bytes) -> bool:
        try:
            model = onnx.load_model_from_string(graph)
        except Exception as error:
            self._complaints.append(_Complaint(-1, "", "MODEL_DESERIALIZE_FAILED", str(error)))
            return False
        for number, node in enumerate(model.graph.node):
            if node.op_type in self._trt.unsupported:
                text = f"No importer registered for op:\n {node.op_type}"
                self._complaints.append(_Complaint(number, node.op_type, "UNSUPPORTED_NODE", text))
        self._network.graph = graph
        self._network.inputs = [_Tensor(value) for value in model.graph.input]
        self._network.outputs = [_Tensor(value) for value in model.graph.output]
        return not self._complaints


class _Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[tuple[int, ...], ...]] = {}

    def set_shape(self, name: str, smallest: Any, best: Any, largest: Any) -> None:
        self.shapes[name] = (tuple(smallest), tuple(best), tuple(largest))


class _TimingCache:
    def __init__(self, blob: bytes) -> None:
        self.blob = blob

    def serialize(self) -> bytes:
        return self.blob


class _Config:
    def __init__(self, version: str) -> None:
        self.flags = {FakeTensorRT.BuilderFlag.TF32}
        self.limits: dict[Any, int] = {}
        self.profiles: list[_Profile] = []
        self.progress_monitor: Any = None
        self.known_timings = b""
        self._timing_cache = _TimingCache(b"")
        self._header = f"timings of {version} ".encode()

    def set_memory_pool_limit(self, pool: Any, size: int) -> None:
        self.limits[pool] = size

    def clear_flag(self, flag: Any) -> None:
        self.flags.discard(flag)

    def add_optimization_profile(self, profile: _Profile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, blob: bytes) -> _TimingCache:
        return _TimingCache(blob)

    def set_timing_cache(self, cache: _TimingCache, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch, "timings of another device would be taken for this one's"
        if cache.blob and not cache.blob.startswith(self._header):
            return False
        self.known_timings = cache.blob
        self._timing_cache = _TimingCache((cache.blob or self._header) + b".")
        return True

    def get_timing_cache(self) -> _TimingCache:
        return self._timing_cache


class _Builder:
    def __init__(self, trt: FakeTensorRT, logger: Any) -> None:
        self._trt, self._logger = trt, logger

    def create_network(self, flags: int) -> _Network:
        assert flags == 0, "networks are strongly typed"
        return _Network()

    def create_builder_config(self) -> _Config:
        return _Config(self._trt.__version__)

    def create_optimization_profile(self) -> _Profile:
        return _Profile()

    def build_serialized_network(self, network: _Network, config: _Config) -> memoryview | None:
        self._trt.builds.append(config)
        if self._trt.fails_to_build:
            self._logger.log(_Severity.ERROR, self._trt.fails_to_build)
            return None
        raised: list[BaseException] = []

        def report() -> None:
            try:
                self._report(config.progress_monitor)
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=report)  # a real one calls from threads of its own
        thread.start()
        thread.join()
        assert not raised, f"an exception in a callback ends the process: {raised}"
        (profile,) = config.profiles
        head = {"version": self._trt.__version__, "shapes": profile.shapes}
        return memoryview(b"PLAN" + json.dumps(head).encode() + b"\n" + network.graph)

    def _report(self, monitor: Any) -> None:
        assert monitor.is_made
        for name, parent, steps in PHASES:
            monitor.phase_start(name, parent, steps)
        self._trt.pause()
        for name, _, steps in reversed(PHASES):
            for step in range(steps):
                assert monitor.step_complete(name, step) is True
            monitor.phase_finish(name)


class _Runtime:
    def __init__(self, trt: FakeTensorRT, logger: Any) -> None:
        self._trt, self._logger = trt, logger

    def deserialize_cuda_engine(self, plan: bytes) -> _Engine | None:
        head, _, graph = bytes(plan).removeprefix(b"PLAN").partition(b"\n")
        if self._trt.refused_plans or not plan.startswith(b"PLAN"):
            self._trt.refused_plans = max(0, self._trt.refused_plans - 1)
            self._logger.log(_Severity.ERROR, "The engine plan file is not compatible with this version of TensorRT")
            return None
        document = json.loads(head)
        assert document["version"] == self._trt.__version__, "a plan of another version came this far"
        return _Engine(self._trt, graph, document["shapes"])


class _Engine:
    def __init__(self, trt: FakeTensorRT, graph: bytes, shapes: dict[str, list[list[int]]]) -> None:
        self._trt = trt
        self._graph = onnx.load_model_from_string(graph).graph
        self.shapes = shapes
        self.session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
        self.contexts_left = 1 << 20

    def __bool__(self) -> bool:
        raise AssertionError("whether an engine is true says nothing")

    @property
    def _tensors(self) -> list[_Tensor]:
        return [_Tensor(value) for value in (*self._graph.input, *self._graph.output)]

    @property
    def num_io_tensors(self) -> int:
        return len(self._tensors)

    def get_tensor_name(self, index: int) -> str:
        return self._tensors[index].name

    def _named(self, name: str) -> _Tensor:
        return next(tensor for tensor in self._tensors if tensor.name == name)

    def get_tensor_dtype(self, name: str) -> Any:
        types = {onnx.TensorProto.FLOAT: self._trt.DataType.FLOAT, onnx.TensorProto.UINT8: self._trt.DataType.UINT8}
        return types[self._named(name).dtype]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._named(name).shape

    def get_tensor_mode(self, name: str) -> Any:
        mode = self._trt.TensorIOMode
        return mode.INPUT if name in {value.name for value in self._graph.input} else mode.OUTPUT

    def create_execution_context(self) -> _Context | None:
        self._trt.gpu.check()
        if not self.contexts_left:
            return None
        self.contexts_left -= 1
        return _Context(self, self._trt.gpu)


class _Context:
    def __init__(self, engine: _Engine, gpu: FakeGpu) -> None:
        self._engine, self._gpu = engine, gpu
        self._addresses: dict[str, int] = {}
        self._shape: tuple[int, ...] = ()

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return address in self._gpu.blocks

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool:
        smallest, _, largest = self._engine.shapes[name]
        self._shape = tuple(shape)
        return all(low <= size <= high for low, size, high in zip(smallest, shape, largest, strict=True))

    def execute_async_v3(self, stream: int) -> bool:
        self._gpu.check()
        if not self._shape or set(self._addresses) != {tensor.name for tensor in self._engine._tensors}:
            return False
        shape, (input_name,) = self._shape, self._engine.shapes
        images = self._gpu.block(self._addresses[input_name], int(np.prod(shape))).reshape(shape)
        names = [output.name for output in self._engine.session.get_outputs()]

        def run() -> None:
            for name, scores in zip(names, self._engine.session.run(names, {input_name: images}), strict=True):
                self._gpu.block(self._addresses[name], scores.nbytes)[:] = scores.reshape(-1).view(np.uint8)

        self._gpu.enqueue(stream, run)
        return True


def open_provider(
    options: TensorRTOptions, probe: DeviceProbe = PROBE, gpu: FakeGpu | None = None, trt: FakeTensorRT | None = None
) -> TensorRTProvider:
    gpu = gpu or FakeGpu()
    gpu.make_current()

    def open_memory(probe: DeviceProbe, index: int) -> FakeMemory:
        require_device(probe, index)
        return FakeMemory(gpu)

    return TensorRTProvider(options, probe, lambda: trt or FakeTensorRT(gpu), open_memory)


def fake_builder(
    options: EngineOptions, gpu: FakeGpu, trt: FakeTensorRT, probe: Callable[[], DeviceProbe] = lambda: PROBE
) -> EngineBuilder:
    """The real one, on hardware that is not there."""
    return EngineBuilder(options, probe, lambda wanted, found: open_provider(wanted, found, gpu, trt))


def fake_hosted_engines(options: HostOptions) -> HostedFactory:
    """For an engine process. A build leaves a file in the home, and waits until there is one called `go`."""
    assert options.home is not None
    home, gpu = Path(options.home), FakeGpu()
    trt = FakeTensorRT(gpu)

    def pause() -> None:
        (home / f"build-{os.getpid()}").touch()
        while not (home / "go").exists():
            time.sleep(0.01)

    trt.pause = pause
    wanted = EngineOptions(
        options.providers, options.fallback, batch_sizes=options.batch_sizes, home=home,
        engine_cache_bytes=options.engine_cache_bytes,
    )  # fmt: skip
    return fake_builder(wanted, gpu, trt).build
