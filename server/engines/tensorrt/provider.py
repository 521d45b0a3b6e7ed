"""From a verified graph to a running TensorRT engine on this host.

In this order: is there a device (asked in another process), is there TensorRT, is there memory; then the plan from the
cache, or built and kept; then the engine. A plan that the cache cannot vouch for, or that TensorRT refuses, is built
anew. Where the cache cannot be read or written the plan is built at each start, and the log says so.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundle.manifest import Manifest
from server.engines.device_memory import DeviceMemory, open_device_memory
from server.engines.device_probe import Device, DeviceProbe
from server.engines.process.batching import DEFAULT_BATCH_SIZES
from server.engines.tensorrt.builder import BuildRequest, build_plan
from server.engines.tensorrt.engine import TensorRTEngine
from server.engines.tensorrt.install_key import load_install_key
from server.engines.tensorrt.library import TensorRTLog, load_tensorrt, make
from server.engines.tensorrt.progress import BuildProgress
from server.engines.tensorrt.sealed_cache import Identity, SealedCache
from server.errors import EngineError

log = logging.getLogger("onsight.server")

DEFAULT_WORKSPACE_BYTES = 4 * 1024**3
LOG_EVERY_S = 10.0
KEY_FILE = "engine_cache.key"
CACHE_FOLDER = Path("cache") / "engines"


@dataclass(frozen=True, slots=True)
class TensorRTOptions:
    """device: its number within CUDA_VISIBLE_DEVICES.  batch_sizes: ascending; engines run these alone.

    home: of the install, whose cache and key are used.  cache_bytes: all engines together.  Without one of the two,
    engines are built at each start.
    """

    device: int = 0
    batch_sizes: tuple[int, ...] = DEFAULT_BATCH_SIZES
    home: Path | None = None
    cache_bytes: int = 0
    workspace_bytes: int = DEFAULT_WORKSPACE_BYTES


class TensorRTProvider:
    """TensorRT on one device, for all models of a process. Raises ProviderMismatch where the device cannot be used.

    trt, memory: handed in where there is no device to take them from.
    """

    def __init__(
        self,
        options: TensorRTOptions,
        probe: DeviceProbe,
        load: Callable[[], Any] = load_tensorrt,
        open_memory: Callable[[DeviceProbe, int], DeviceMemory] = open_device_memory,
    ) -> None:
        self._options = options
        self._probe = probe
        self._memory = open_memory(probe, options.device)  # first: without a device, TensorRT itself may crash
        self._trt = load()
        self._log = TensorRTLog(self._trt)
        self._runtime = make(self._trt, self._log, self._trt.Runtime)
        self._cache = _open_cache(options)

    def build(
        self,
        manifest: Manifest,
        graph: bytes,
        progress: Callable[[str], None],
        *,
        private: bool = False,
        watch: Callable[[BuildProgress], None] = lambda _how_far: None,
    ) -> TensorRTEngine:
        """The engine of one model; minutes where it has to be built. progress: where to say how far it is.

        private: neither look for it in the cache nor keep it there.  watch: told how far a build is, in figures.

        Raises EngineError where TensorRT refuses the graph, GraphMismatch where it is not the manifest's.
        """
        self._memory.make_current()
        request = self._request(manifest, graph)
        identity = self._identity(manifest, request)
        if private:
            engine = self._deserialise(self._build(manifest, identity, request, progress, watch, keep=False))
        else:
            with self._entry_lock(identity, lambda: progress("another process builds the TensorRT engine")):
                engine = self._load(identity)
                if engine is None:
                    engine = self._deserialise(self._build(manifest, identity, request, progress, watch))
        if engine is None:
            raise EngineError(
                f"TensorRT {self._trt.__version__}: expected the engine that it built to load, found that it refuses"
                f" ({self._log.last_errors()}). Free memory of the device, or set ONSIGHT_PROVIDERS to cuda."
            )
        sizes = self._options.batch_sizes
        return TensorRTEngine(self._trt, self._log, engine, manifest, self._memory, sizes)

    def _request(self, manifest: Manifest, graph: bytes) -> BuildRequest:
        spec, options = manifest.preprocessing, self._options
        return BuildRequest(
            graph,
            manifest.input.name,
            (spec.height, spec.width, 3),
            options.batch_sizes,
            workspace_on(self._memory.device, options.workspace_bytes),
        )

    # ---- cache

    def is_kept(self, manifest: Manifest, graph: bytes) -> bool:
        """Whether the cache hands out the engine that `build` would make of it."""
        identity = self._identity(manifest, self._request(manifest, graph))
        return self._cache is not None and self._cache.load(identity) is not None

    def _host(self) -> dict[str, object]:
        """What plans and timings depend on. Boards of one kind share them; a driver or version has its own."""
        return host_facts(self._memory.device, self._probe, str(self._trt.__version__))

    def _identity(self, manifest: Manifest, request: BuildRequest) -> dict[str, object]:
        return {
            "kind": "plan",
            "onnx_sha256": hashlib.sha256(request.graph).hexdigest(),
            "precision": _precision(manifest, request.graph),
            "batch_sizes": list(request.batch_sizes),
            "workspace_bytes": request.workspace_bytes,
            **self._host(),
        }

    @contextlib.contextmanager
    def _entry_lock(self, identity: Identity, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            if self._cache is not None:
                try:
                    stack.enter_context(self._cache.locked(identity, on_wait))
                except OSError as error:
                    log.warning("engine cache not used", extra={"reason": str(error)})
            yield

    def _load(self, identity: Identity) -> Any | None:
        plan = self._cache.load(identity) if self._cache is not None else None
        if plan is None or self._cache is None:
            return None
        began = time.monotonic()
        engine = self._deserialise(plan)
        if engine is None:
            log.warning("engine cache entry not used", extra={"reason": self._log.last_errors()})
            self._cache.discard(identity)
            return None
        log.info("TensorRT engine from the cache", extra={"seconds": round(time.monotonic() - began, 2)})
        return engine

    def _deserialise(self, plan: bytes) -> Any | None:
        return self._runtime.deserialize_cuda_engine(plan)

    def _build(
        self,
        manifest: Manifest,
        identity: Identity,
        request: BuildRequest,
        progress: Callable[[str], None],
        watch: Callable[[BuildProgress], None],
        *,
        keep: bool = True,
    ) -> bytes:
        """keep: in the cache; timings, which hold nothing of the model, are kept either way."""
        logged = time.monotonic() - LOG_EVERY_S

        def report(how_far: BuildProgress) -> None:
            nonlocal logged
            progress(str(how_far))
            watch(how_far)
            if time.monotonic() - logged >= LOG_EVERY_S:
                logged = time.monotonic()
                log.info(
                    "building a TensorRT engine",
                    extra={
                        "percent": round(100 * how_far.fraction),
                        "phase": how_far.phase,
                        "remaining_s": None if how_far.remaining_s is None else round(how_far.remaining_s),
                    },
                )

        timing_identity = {"kind": "timings", **self._host()}
        with self._entry_lock(timing_identity):
            timings = self._cache.load(timing_identity) if self._cache is not None else None
        built = build_plan(self._trt, self._log, request, timings or b"", report)
        log.info("TensorRT engine built", extra={"seconds": round(built.seconds, 1), "bytes": len(built.plan)})
        facts = {
            "built_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "seconds": round(built.seconds, 1),
            "uuid": self._memory.device.uuid,
        }
        if keep:
            self._keep(identity, built.plan, {**facts, "model": manifest.name, "version": manifest.version})
        with self._entry_lock(timing_identity):
            self._keep(timing_identity, built.timings, facts)
        return built.plan

    def _keep(self, identity: Identity, payload: bytes, facts: Identity) -> None:
        if self._cache is not None:
            try:
                self._cache.save(identity, payload, facts)
            except OSError as error:
                log.warning("not kept in the engine cache", extra={"kind": identity["kind"], "reason": str(error)})


def host_facts(device: Device, probe: DeviceProbe, tensorrt: str) -> dict[str, object]:
    """Of a plan's identity, the machine's part. tensorrt: version."""
    return {
        "tensorrt": tensorrt,
        "gpu": device.name,
        "compute_capability": list(device.compute_capability),
        "multiprocessors": device.multiprocessors,
        "memory_bytes": device.memory_bytes,
        "driver": probe.driver_version,
        "cuda": probe.cuda_version,
    }


def workspace_on(device: Device, workspace_bytes: int = DEFAULT_WORKSPACE_BYTES) -> int:
    """What a build may use for a single layer there."""
    return min(workspace_bytes, device.memory_bytes // 2)


def _open_cache(options: TensorRTOptions) -> SealedCache | None:
    if options.home is None or not options.cache_bytes:
        return None
    try:
        return SealedCache(options.home / CACHE_FOLDER, load_install_key(options.home / KEY_FILE), options.cache_bytes)
    except OSError as error:
        log.warning("engine cache not used: engines are built at each start", extra={"reason": str(error)})
        return None


def _precision(manifest: Manifest, graph: bytes) -> str:
    """As the manifest calls this very file; the graph alone decides it."""
    digest = hashlib.sha256(graph).hexdigest()
    files = {entry.name for entry in manifest.files if entry.sha256 == digest}
    return next((variant.precision for variant in manifest.variants if variant.file in files), "unknown")
