"""Engines by the declared order of providers: the first must run the model, unless a fallback is declared.

`TensorRT` is NVIDIA TensorRT itself (see `tensorrt`), every other name an execution provider of ONNX Runtime, one at a
time: what a provider refuses goes to the next one, never silently to a CPU. What really runs is the engine's
`providers`, `library` and `device`. Runtimes and the driver are asked when the first engine is built, so that a parent
process can fork without them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bundle.manifest import Manifest
from server.engines.device_memory import require_device
from server.engines.device_probe import DeviceProbe, probe_devices
from server.engines.onnx_runtime import OnnxRuntimeEngine, OnnxRuntimeOptions
from server.engines.process.batching import DEFAULT_BATCH_SIZES
from server.engines.process.options import HostedFactory, HostOptions
from server.engines.protocol import Engine, EngineFactory
from server.engines.providers import CPU, CUDA, TENSORRT
from server.engines.tensorrt.provider import TensorRTOptions, TensorRTProvider
from server.errors import EngineError, GraphMismatch, ProviderMismatch

log = logging.getLogger("onsight.server")

Progress = Callable[[str], None]
"""Told in a sentence how far the building of an engine is."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """providers: in order of preference.  fallback: whether a later one may run what an earlier one cannot.

    device: number of the GPU within CUDA_VISIBLE_DEVICES.  batch_sizes: ascending, of batches that are run; empty for
    what suits the provider.  home: of the install, for the engine cache.  engine_cache_bytes: 0 keeps no engines.
    shared_folder: see OnnxRuntimeOptions.
    """

    providers: tuple[str, ...] = (CPU,)
    fallback: bool = False
    intra_op_threads: int = 1
    shared_folder: Path | None = None
    device: int = 0
    batch_sizes: tuple[int, ...] = ()
    home: Path | None = None
    engine_cache_bytes: int = 0


class EngineBuilder:
    """Builds engines in this process, one at a time. probe, open_tensorrt: how the driver is asked, TensorRT opened."""

    def __init__(
        self,
        options: EngineOptions,
        probe: Callable[[], DeviceProbe] = probe_devices,
        open_tensorrt: Callable[[TensorRTOptions, DeviceProbe], TensorRTProvider] = TensorRTProvider,
    ) -> None:
        self._options = options
        self._probe = probe
        self._open_tensorrt = open_tensorrt
        self._tensorrt: TensorRTProvider | None = None
        self._lock = threading.Lock()

    def build(
        self, manifest: Manifest, graph: bytes, progress: Progress = lambda _text: None, *, private: bool = False
    ) -> Engine:
        """private: write nothing of it to a disk, neither shared weights nor a cached engine.

        Raises ProviderMismatch, GraphMismatch, or EngineError when no provider that may runs the graph.

        ModuleNotFoundError where ONNX Runtime is not installed; a missing TensorRT is a ProviderMismatch.
        """
        options = self._options
        tried = options.providers if options.fallback else options.providers[:1]
        refusals: list[tuple[str, EngineError]] = []
        with self._lock:
            for name in tried:
                try:
                    engine = self._build_on(name, manifest, graph, progress, private=private)
                except (GraphMismatch, ModuleNotFoundError):
                    raise  # the bundle is wrong, or the install, whatever runs it
                except Exception as error:  # whatever a runtime throws must not keep a later provider from serving
                    refusals.append((name, _as_engine_error(name, error)))
                    if len(tried) > 1:
                        log.warning("provider not used", extra={"provider": name, "reason": str(refusals[-1][1])})
                    continue
                if refusals:
                    facts = {"wanted": refusals[0][0], "provider": name, "model": manifest.name}
                    log.warning("fallback: the model runs on a later provider", extra=facts)
                return engine
        raise self._refusal(refusals)

    def _build_on(self, name: str, manifest: Manifest, graph: bytes, progress: Progress, *, private: bool) -> Engine:
        options = self._options
        if name == TENSORRT:
            return self._tensorrt_provider().build(manifest, graph, progress, private=private)
        device_name = name
        if name == CPU:
            device_name = "CPU"
        elif name == CUDA:  # asked first: without a driver the runtime says little, or takes the CPU
            device_name = require_device(self._probe(), options.device).name
        runtime = OnnxRuntimeOptions(
            name,
            options.intra_op_threads,
            None if private else options.shared_folder,
            options.batch_sizes[-1] if options.batch_sizes else None,
            options.device,
            device_name,
        )
        return OnnxRuntimeEngine(manifest, graph, runtime)

    def _tensorrt_provider(self) -> TensorRTProvider:
        if self._tensorrt is None:
            options = self._options
            sizes = options.batch_sizes or DEFAULT_BATCH_SIZES
            wanted = TensorRTOptions(options.device, sizes, options.home, options.engine_cache_bytes)
            self._tensorrt = self._open_tensorrt(wanted, self._probe())
        return self._tensorrt

    def _refusal(self, refusals: list[tuple[str, EngineError]]) -> EngineError:
        options = self._options
        last = refusals[-1][1]
        if not options.fallback and len(options.providers) > 1 and isinstance(last, ProviderMismatch):
            return ProviderMismatch(
                f"{last} Or set ONSIGHT_PROVIDER_FALLBACK=true, to serve on {options.providers[1]} meanwhile."
            )
        if len(refusals) == 1 or not isinstance(last, ProviderMismatch):
            return last
        reasons = " ".join(f"{name}: {error}" for name, error in refusals)
        names = ", ".join(name for name, _ in refusals)
        return ProviderMismatch(f"execution provider: expected one of {names}, found that none can be used. {reasons}")


def _as_engine_error(name: str, error: Exception) -> EngineError:
    if isinstance(error, EngineError):
        return error
    log.error("provider failed", extra={"provider": name}, exc_info=error)
    return EngineError(f"graph: {name} fails at it ({type(error).__name__}). The log says more.")


def engine_factory(options: EngineOptions) -> EngineFactory:
    """Engines in this process."""
    builder = EngineBuilder(options)

    def build(manifest: Manifest, graph: bytes, /, *, private: bool = False) -> Engine:
        return builder.build(manifest, graph, private=private)

    return build


def hosted_engines(options: HostOptions) -> HostedFactory:
    """Engines in an engine process, whose environment shows it its device alone: as number 0."""
    builder = EngineBuilder(
        EngineOptions(
            options.providers,
            options.fallback,
            options.intra_op_threads,
            batch_sizes=options.batch_sizes,
            home=None if options.home is None else Path(options.home),
            engine_cache_bytes=options.engine_cache_bytes,
        )
    )
    return builder.build
