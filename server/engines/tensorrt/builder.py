"""Build a TensorRT plan from a verified ONNX graph.

In this order: parse, and refuse with every complaint of the parser; one optimisation profile from one image to the
largest batch; build, with the timings of earlier builds and progress as it goes. Networks are strongly typed: the graph
alone says the precision. TF32 stays off, so that float32 means float32. Plans are made for this device
and this version alone: no version compatibility, which would put host code into the plan.
Never reads or writes a file. `trt` is the module, handed in: TensorRT, or TensorRT for RTX to try a graph with.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from server.engines.tensorrt.library import TensorRTLog, make
from server.engines.tensorrt.progress import BuildProgress, BuildTracker, make_monitor
from server.errors import EngineError, GraphMismatch

_SHOWN_COMPLAINTS = 10


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """graph: verified ONNX bytes.  input_name, image_shape: its input, (H, W, 3) without the batch.

    batch_sizes: ascending; it will run any size from 1 to the last, and is tuned for the one in the middle.
    workspace_bytes: what the device may lend to a single layer.
    """

    graph: bytes
    input_name: str
    image_shape: tuple[int, int, int]
    batch_sizes: tuple[int, ...]
    workspace_bytes: int

    @property
    def largest(self) -> int:
        return self.batch_sizes[-1]

    @property
    def tuned_for(self) -> int:
        return self.batch_sizes[len(self.batch_sizes) // 2]


@dataclass(frozen=True, slots=True)
class BuiltPlan:
    """plan: native code for this device, as bytes.  timings: for the next build."""

    plan: bytes
    timings: bytes
    seconds: float


def build_plan(
    trt: Any,
    trt_log: TensorRTLog,
    request: BuildRequest,
    timings: bytes,
    report: Callable[[BuildProgress], None],
    clock: Callable[[], float] = time.monotonic,
) -> BuiltPlan:
    """timings: of an earlier build with the same device, driver and version; b"" for the first.

    Raises EngineError where TensorRT refuses the graph, GraphMismatch where its input is another.
    """
    began = clock()
    builder = make(trt, trt_log, trt.Builder)
    network = parse_network(trt, trt_log, builder, request.graph)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request.workspace_bytes)
    config.clear_flag(trt.BuilderFlag.TF32)
    config.add_optimization_profile(_profile(builder, network, request))
    _start_from(config, timings)
    monitor = config.progress_monitor = make_monitor(trt, BuildTracker(report, clock))
    plan = builder.build_serialized_network(network, config)
    del monitor
    if plan is None:
        raise EngineError(
            f"graph: TensorRT {trt.__version__} builds no engine of it ({trt_log.last_errors()}). Free memory of the"
            " device, or set ONSIGHT_PROVIDERS to cuda."
        )
    return BuiltPlan(bytes(plan), bytes(config.get_timing_cache().serialize()), clock() - began)


def try_graph(trt: Any, trt_log: TensorRTLog, request: BuildRequest) -> None:
    """Parse the graph and take its input, and build nothing: what shows without a device. Raises as `build_plan`."""
    builder = make(trt, trt_log, trt.Builder)
    _profile(builder, parse_network(trt, trt_log, builder, request.graph), request)


def parse_network(trt: Any, trt_log: TensorRTLog, builder: Any, graph: bytes) -> Any:
    """The network of an ONNX graph. Raises EngineError with every complaint of the parser."""
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, trt_log.logger)
    parsed = parser.parse(graph)
    complaints = [_describe(parser.get_error(index)) for index in range(parser.num_errors)]
    if not parsed or complaints:
        more = len(complaints) - _SHOWN_COMPLAINTS
        text = "; ".join(complaints[:_SHOWN_COMPLAINTS]) or trt_log.last_errors()
        raise EngineError(
            f"graph: TensorRT {trt.__version__} cannot read it: {text}{f'; and {more} more' if more > 0 else ''}."
            " Set ONSIGHT_PROVIDERS to cuda, or export the bundle with the newer Onsight."
        )
    return network


def _describe(error: Any) -> str:
    operator, code, text = error.node_operator() or "-", error.code().name, " ".join(str(error.desc()).split())
    return f"node {error.node()} ({operator}, {code}): {text}"


def _profile(builder: Any, network: Any, request: BuildRequest) -> Any:
    """One image to the largest batch."""
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    found = [(tensor.name, tuple(tensor.shape)) for tensor in inputs]
    expected = (request.input_name, (-1, *request.image_shape))
    if found != [expected]:
        raise GraphMismatch(
            f"graph: expected one input {expected}, -1 for any batch, found {found}. Export the bundle again."
        )
    profile = builder.create_optimization_profile()
    smallest, best, largest = ((size, *request.image_shape) for size in (1, request.tuned_for, request.largest))
    profile.set_shape(request.input_name, smallest, best, largest)
    return profile


def _start_from(config: Any, timings: bytes) -> None:
    cache = config.create_timing_cache(timings)
    if not config.set_timing_cache(cache, False):  # of another device or version after all: begin anew
        config.set_timing_cache(config.create_timing_cache(b""), False)
