"""Run a verified graph in this process, with ONNX Runtime on one execution provider.

Order: build the session, compare the provider it really got with the one asked for, compare inputs and outputs with the
manifest. Never reads a file (the bytes come in verified) and never decides what a score means.

ONNX Runtime is imported when the first engine is built, so that a parent process can fork without its threads.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bundle.manifest import Manifest, TensorSpec
from server.engines.onnx_staging import BoundStaging
from server.engines.prepared import forget_prepared, prepared_graph
from server.engines.protocol import LOGITS, PROBABILITIES, Scores
from server.engines.providers import CPU, CUDA
from server.errors import EngineError, GraphMismatch, ProviderMismatch

log = logging.getLogger("onsight.server")

WARM_UP_RUNS = 3
ERRORS: Final = 3  # ONNX Runtime's severities
FATAL_ALONE: Final = 4
# On a CPU a batch is no faster than its images one by one, and its memory would stay in the arena for good.
MAX_BATCH_CPU = 1
MAX_BATCH_ACCELERATOR = 16
# Each convolution there keeps its plan for the last batch size alone; another size has it planned anew. With batches of
# several sizes an H200 so answered 129 images/s instead of thousands.
ONE_SESSION_A_SIZE: Final = frozenset({CUDA})


@dataclass(frozen=True, slots=True)
class OnnxRuntimeOptions:
    """provider: the one that must run it.

    shared_folder: where processes of one server share optimised graphs and weights (on a CPU); None for no sharing.
    max_batch: images of one run; None for what suits the provider.  device: number of the GPU, where one is used, and
    device_name: what it is called.
    """

    provider: str = CPU
    intra_op_threads: int = 1
    shared_folder: Path | None = None
    max_batch: int | None = None
    device: int = 0
    device_name: str = "CPU"


class OnnxRuntimeEngine:
    """ONNX Runtime sessions of one graph: one, or where the provider asks for it one for each batch size that is run.

    Raises ProviderMismatch, GraphMismatch, or EngineError when the runtime refuses the graph.
    """

    def __init__(self, manifest: Manifest, graph: bytes, options: OnnxRuntimeOptions) -> None:
        self._manifest = manifest
        self._session, self._prepared = _open_session(graph, options)
        self._device = options.device
        one_a_size = options.provider in ONE_SESSION_A_SIZE
        self._open_another = partial(_open_session, graph, options) if one_a_size else None  # which holds the graph
        self._sized: dict[int, Any] = {}
        self._lock = threading.Lock()
        self.providers: tuple[str, ...] = tuple(self._session.get_providers())
        self.library = f"ONNX Runtime {_version()}"
        self.device = options.device_name
        try:
            check_providers(self.providers, options.provider)
            check_tensors("input", (manifest.input,), _tensors_of(self._session.get_inputs()), complete=True)
            check_tensors("output", manifest.outputs, _tensors_of(self._session.get_outputs()), complete=False)
        except BaseException:
            self.close()
            raise
        suits = MAX_BATCH_CPU if self.providers[0] == CPU else MAX_BATCH_ACCELERATOR
        self._max_batch = options.max_batch or suits

    def infer(self, images: NDArray[np.uint8], deadline: float | None = None) -> Scores:
        parts = [self._run(images[at : at + self._max_batch]) for at in range(0, len(images), self._max_batch)]
        if len(parts) == 1:
            probabilities, logits = parts[0]
            return probabilities, logits
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])

    def _run(self, images: NDArray[np.uint8]) -> Scores:
        """images: at most the largest batch; filled up to it where each size has its session, unless it is just one."""
        count = len(images)
        if self._open_another is not None and 1 < count < self._max_batch:
            images = np.concatenate([images, np.zeros((self._max_batch - count, *images.shape[1:]), np.uint8)])
        session = self._session_for(len(images))
        probabilities, logits = session.run([PROBABILITIES, LOGITS], {self._manifest.input.name: images})
        return probabilities[:count], logits[:count]

    def _session_for(self, size: int) -> Any:
        """The session that runs batches of so many images."""
        if self._open_another is None:
            return self._session
        with self._lock:
            if size not in self._sized:
                self._sized[size] = self._open_another()[0] if self._sized else self._session
            return self._sized[size]

    def new_staging(self, sizes: Sequence[int]) -> BoundStaging:
        """A place to gather batches of fixed sizes in, for an engine process. sizes: ascending."""
        kind = "cuda" if self.providers[0] == CUDA else "cpu"
        sessions = {size: self._session_for(size) for size in sizes}
        return BoundStaging(sessions, self._manifest, kind, self._device)

    def warm_up(self) -> None:
        spec = self._manifest.preprocessing
        blank = np.zeros((1, spec.height, spec.width, 3), np.uint8)
        for _ in range(WARM_UP_RUNS):
            self.infer(blank)

    def close(self) -> None:
        """Let go of the sessions, whoever still holds this engine."""
        self._session = self._open_another = None
        self._sized.clear()
        if self._prepared is not None:
            forget_prepared(self._prepared)


def check_providers(found: Sequence[str], wanted: str) -> None:
    """The runtime takes what it can get without a word; this is the word. Raises ProviderMismatch."""
    if not found or found[0] != wanted:
        raise ProviderMismatch(
            f"execution provider: expected {wanted}, the runtime offers {', '.join(found) or 'none'}."
            " Install the runtime and driver it needs, or set ONSIGHT_PROVIDERS (for example to cpu)."
        )


def check_tensors(
    kind: str, expected: Sequence[TensorSpec], found: Mapping[str, tuple[str, tuple[Any, ...]]], *, complete: bool
) -> None:
    """Compare the graph with the manifest.

    found: name -> (runtime's dtype, runtime's shape).  complete: whether the graph may have no others.
    Raises GraphMismatch.
    """
    if complete and len(found) != len(expected):
        raise GraphMismatch(f"graph: expected {len(expected)} {kind}(s), found {len(found)}. Export the bundle again.")
    for tensor in expected:
        if tensor.name not in found:
            names = ", ".join(sorted(found)) or "none"
            raise GraphMismatch(f"graph: expected an {kind} {tensor.name!r}, found {names}. Export the bundle again.")
        dtype, shape = found[tensor.name]
        fits = len(shape) == len(tensor.shape) and all(
            not isinstance(is_size, int) if wanted == "batch" else is_size == wanted
            for wanted, is_size in zip(tensor.shape, shape, strict=True)
        )
        if not fits or dtype != tensor.dtype:
            raise GraphMismatch(
                f"graph: expected {kind} {tensor.name!r} of {tensor.dtype} {list(tensor.shape)}, found {dtype}"
                f" {list(shape)}. Export the bundle again."
            )


def _open_session(graph: bytes, options: OnnxRuntimeOptions) -> tuple[Any, Path | None]:
    """The session, and the prepared graph that it was made from, if any."""
    import onnxruntime as ort

    ort.set_default_logger_severity(ERRORS)
    offered = ort.get_available_providers()
    if options.provider not in offered:
        check_providers(sorted(offered), options.provider)
    if options.shared_folder is not None and options.provider == CPU:
        try:
            settings = _session_options(options)
            settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # it is optimised
            with prepared_graph(graph, options.shared_folder, lambda: _session_options(options)) as path:
                return ort.InferenceSession(str(path), settings, providers=[CPU]), path
        except Exception as error:  # a full disk, for one, is no reason not to serve; a bad graph fails again below
            log.warning("weights not shared", extra={"reason": type(error).__name__})
    if options.provider == CUDA:
        ort.preload_dlls()  # CUDA's libraries from their own packages, which no search path names
    try:
        provider = (options.provider, provider_options(options.provider, options.device))
        session = ort.InferenceSession(graph, _session_options(options), providers=[provider])
        if options.provider == CUDA:  # cuDNN tells each plan it cannot run as an error, and then finds another
            ort.set_default_logger_severity(FATAL_ALONE)
        return session, None
    except Exception as error:  # the runtime's errors share no base class; their text may name paths
        raise EngineError(
            f"graph: ONNX Runtime {ort.__version__} refuses it ({type(error).__name__}). Export the bundle again, or"
            " install the runtime's newer version."
        ) from error


def provider_options(name: str, device: int) -> dict[str, str]:
    """What a provider is told. CUDA: memory as asked for, quick choice of kernels, float32 that is float32."""
    if name != CUDA:
        return {}
    return {
        "device_id": str(device),
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": "0",
    }


def _session_options(options: OnnxRuntimeOptions) -> Any:
    import onnxruntime as ort

    settings = ort.SessionOptions()
    settings.log_severity_level = ERRORS
    settings.intra_op_num_threads = options.intra_op_threads
    settings.inter_op_num_threads = 1
    settings.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    # The arena stays on: without it two threads held 156 MB for MobileNetV2, with it 122, at the same speed.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return settings


def _version() -> str:
    import onnxruntime as ort

    return str(ort.__version__)


def _tensors_of(tensors: Sequence[Any]) -> dict[str, tuple[str, tuple[Any, ...]]]:
    names = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}
    return {tensor.name: (names.get(tensor.type, tensor.type), tuple(tensor.shape)) for tensor in tensors}
