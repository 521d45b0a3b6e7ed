"""TensorRT engines ahead of serving: build them into this install's cache, and say what lies there and whether it fits.

In this order: the driver (asked in another process), the bundles, each form of the model that a server might run on
TensorRT, its engine by the server's own code under the server's own settings, its golden replay. Without a GPU nothing
is built; `preflight` then tries with TensorRT for RTX, whose parser needs no device, whether graphs could be read.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from bundle.errors import OnsightError, WrongRecipient
from bundle.home import OnsightHome
from bundle.load import Bundle, load_bundle
from bundle.manifest import Manifest, Variant
from bundle.runtimes import TENSORRT
from bundle.trust import TrustStore
from licenses.opener import opener_of
from server.engines.device_probe import DRIVER_LIBRARY, DeviceProbe, probe_devices
from server.engines.process.batching import DEFAULT_BATCH_SIZES
from server.engines.tensorrt.builder import BuildRequest, try_graph
from server.engines.tensorrt.install_key import load_install_key
from server.engines.tensorrt.library import TensorRTLog, load_tensorrt
from server.engines.tensorrt.progress import BuildProgress
from server.engines.tensorrt.provider import (
    CACHE_FOLDER,
    DEFAULT_WORKSPACE_BYTES,
    KEY_FILE,
    TensorRTOptions,
    TensorRTProvider,
    host_facts,
    workspace_on,
)
from server.engines.tensorrt.sealed_cache import Entry, Identity, SealedCache
from server.errors import ProviderMismatch
from server.models.loader import choose_variant
from server.models.shelf import list_bundles
from server.models.variants import prove_variant
from server.settings import ServerSettings

RTX_MODULE: Final = "tensorrt_rtx"
RTX_PACKAGE: Final = "tensorrt-rtx-cu13"
NAMES: Final = {
    "tensorrt": "TensorRT", "gpu": "GPU", "compute_capability": "compute capability",
    "multiprocessors": "multiprocessors", "memory_bytes": "GPU memory", "driver": "driver", "cuda": "CUDA",
    "batch_sizes": "batches of", "workspace_bytes": "workspace of",
}  # fmt: skip


class NoGpu(ProviderMismatch):
    """Nothing here builds or runs an engine."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one form of one model; of a bundle that was not opened, only its path is known.

    built: False where it was in the cache already.  golden_difference: largest of a probability, None where it was not
    run.  skipped: why there need not be an engine.  error: why there is none.
    """

    bundle: Path
    model: str = ""
    version: str = ""
    variant: str = ""
    precision: str = ""
    built: bool = False
    golden_difference: float | None = None
    skipped: str | None = None
    error: str | None = None


Watch = Callable[[str, BuildProgress], None]
"""Told of which form of which model, and how far its build is."""


def bundles_in(path: Path) -> list[Path]:
    """`path` itself, or what a server would find in that models folder. Raises OnsightError where there is none."""
    if path.suffix == ".onsight" or path.is_file() or (path / "manifest.json").exists():
        return [path]
    found = [file.path for file in list_bundles(path).files]
    if not found:
        raise OnsightError(f"{path}: expected a bundle, or a folder of .onsight bundles, found none. Check the path.")
    return found


def sizes_up_to(sizes: tuple[int, ...], largest: int | None) -> tuple[int, ...]:
    """The batch sizes below `largest`, and that one; all of them where it is None."""
    return sizes if largest is None else (*(size for size in sizes if size < largest), largest)


def build_engines(
    paths: list[Path], home: OnsightHome, options: TensorRTOptions, precision: str, watch: Watch
) -> Iterator[Outcome]:
    """Build what a server with these options would. precision: of ServerSettings.

    Raises NoGpu, ProviderMismatch; what is wrong with one bundle is its outcome.
    """
    probe = probe_devices()
    if probe.device(options.device) is None:
        raise _no_gpu(probe, options.device)
    provider = TensorRTProvider(options, probe)
    for found in _forms_in(paths, home, precision):
        yield found if isinstance(found, Outcome) else _build(*found, provider, watch)


def _build(bundle: Bundle, variant: Variant, provider: TensorRTProvider, watch: Watch) -> Outcome:
    manifest, graph = bundle.manifest, bundle.files[variant.file]
    outcome = partial(Outcome, bundle.path, manifest.name, manifest.version, variant.name, variant.precision)
    if bundle.sealed:
        return outcome(skipped="sealed for this install: no engine of it may lie on a disk, so each start builds it")
    name = f"{manifest.name} {manifest.version} {variant.name}"

    def engine_of(manifest: Manifest, graph: bytes, /, *, private: bool = False) -> Any:
        return provider.build(manifest, graph, lambda _text: None, private=private, watch=partial(watch, name))

    try:
        was_there = provider.is_kept(manifest, graph)
        proven = prove_variant(bundle, variant, engine_of)
        proven.engine.close()
    except OnsightError as error:
        return outcome(error=str(error))
    if not provider.is_kept(manifest, graph):
        return outcome(built=True, error="it was built, and could not be kept: the log above says why")
    return outcome(built=not was_there, golden_difference=proven.golden_difference)


def _forms_in(paths: list[Path], home: OnsightHome, precision: str) -> Iterator[tuple[Bundle, Variant] | Outcome]:
    """The forms that a server may run on TensorRT, full precision first; of what cannot be opened, the outcome."""
    for path in paths:
        try:
            bundle = load_bundle(path, TrustStore(home.trust_dir), opener=opener_of(home.licenses_dir))
        except WrongRecipient:
            yield Outcome(path, skipped="sealed for another install, which alone can open it")
            continue
        except OnsightError as error:
            yield Outcome(path, error=str(error))
            continue
        full = choose_variant(bundle.manifest)
        for each in (full, *(each for each in bundle.manifest.variants if each is not full)):
            fits = not each.runtimes or TENSORRT in each.runtimes
            if each.may_serve and fits and precision in ("auto", each.precision):
                yield bundle, each


def _no_gpu(probe: DeviceProbe, device: int) -> NoGpu:
    found = probe.reason or f"{len(probe.devices)} device(s), numbered from 0"
    there = importlib.util.find_spec(RTX_MODULE) is not None
    installed = "is installed" if there else f"is not installed: pip install {RTX_PACKAGE}"
    return NoGpu(
        f"no GPU: looked for device {device} of the NVIDIA driver ({DRIVER_LIBRARY}), found {found}. An engine suits"
        " only the kind of machine that built it: run this where the server runs, with the driver installed and the"
        " device let through (in a container: the NVIDIA container toolkit). Here, --preflight tries whether the"
        f" graphs can be read, by TensorRT for RTX, which {installed}."
    )


# ---- without a GPU


def preflight(paths: list[Path], home: OnsightHome, options: TensorRTOptions, precision: str) -> Iterator[Outcome]:
    """Whether the parser of the TensorRT family reads each graph; nothing is built. Raises ProviderMismatch."""
    try:
        trt = importlib.import_module(RTX_MODULE)
    except (ImportError, OSError, RuntimeError) as error:
        raise ProviderMismatch(
            f"preflight: expected TensorRT for RTX, whose parser needs no GPU, found {error}. Install it:"
            f" pip install {RTX_PACKAGE}"
        ) from error
    trt_log = TensorRTLog(trt)
    for found in _forms_in(paths, home, precision):
        if isinstance(found, Outcome):
            yield found
            continue
        bundle, variant = found
        manifest, spec = bundle.manifest, bundle.manifest.preprocessing
        request = BuildRequest(
            bundle.files[variant.file], manifest.input.name, (spec.height, spec.width, 3), options.batch_sizes,
            options.workspace_bytes,
        )  # fmt: skip
        complaint = None
        try:
            try_graph(trt, trt_log, request)
        except OnsightError as error:
            complaint = str(error)
        yield Outcome(bundle.path, manifest.name, manifest.version, variant.name, variant.precision, error=complaint)


# ---- the cache


@dataclass(frozen=True, slots=True)
class Kept:
    """An engine in the cache. misfit: why no server here would use it, None where one would."""

    entry: Entry
    misfit: str | None


@dataclass(frozen=True, slots=True)
class Cache:
    """Of this install. unknown: why nothing can be said here about what fits."""

    cache: SealedCache
    kept: tuple[Kept, ...]
    unknown: str | None


def look_at_cache(settings: ServerSettings) -> Cache | None:
    """What lies there, held against this machine and the server's settings; None where nothing was ever built."""
    folder = settings.home / CACHE_FOLDER
    if not folder.is_dir():
        return None
    cache = SealedCache(folder, load_install_key(settings.home / KEY_FILE), max(1, settings.engine_cache_bytes))
    hosts, unknown = _hosts(settings.batch_sizes or DEFAULT_BATCH_SIZES)
    kept = [Kept(entry, entry.problem or unknown or _misfit(entry.identity, hosts)) for entry in cache.entries()]
    return Cache(cache, tuple(kept), unknown)


def _hosts(sizes: tuple[int, ...]) -> tuple[list[dict[str, object]], str | None]:
    """What plans must name to fit one of the devices here, or why none can."""
    probe = probe_devices()
    if not probe.devices:
        return [], f"no GPU here: {probe.reason}"
    try:
        version = str(load_tensorrt().__version__)
    except ProviderMismatch as error:
        return [], str(error)
    return [
        {
            **host_facts(device, probe, version),
            "batch_sizes": list(sizes),
            "workspace_bytes": workspace_on(device, DEFAULT_WORKSPACE_BYTES),
        }
        for device in probe.devices
    ], None


def _misfit(identity: Identity, hosts: list[dict[str, object]]) -> str | None:
    """Against the device that it comes closest to."""
    differences = [
        [
            f"{label} {_told(identity[name])}, here {_told(host[name])}"
            for name, label in NAMES.items()
            if name in identity and identity[name] != host[name]
        ]
        for host in hosts
    ]
    closest = min(differences, key=len)
    return f"it is for {'; '.join(closest)}" if closest else None


def _told(value: object) -> str:
    return ".".join(map(str, value)) if isinstance(value, list) and len(value) == 2 else str(value)
