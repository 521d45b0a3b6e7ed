"""The models of one process: from verified bundles to engines that answer.

For each project and model name, from the highest version down: build the engine, compare the graph with the manifest,
replay the golden inputs on the real provider, warm up, serve. A version that fails is set aside with its reason and the
next lower one is tried; the remaining versions are listed and not loaded. Knows neither HTTP nor where bundles lie.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from bundle.decode import ImageLimits
from bundle.errors import OnsightError
from bundle.golden import Golden, replay_golden
from bundle.manifest import Manifest, Variant
from server.engines.protocol import EngineFactory, check_manifest_tensors
from server.errors import EngineError, ModelsLoading, UnknownModel
from server.models.model import ModelFacts, ServedModel
from server.models.shelf import Failure, Shelf, ShelvedBundle, failure_of, natural_order

log = logging.getLogger("onsight.server")


class Phase(StrEnum):
    """Where a registry stands."""

    LOADING = "loading"
    READY = "ready"
    NO_MODELS = "no_models"


@dataclass(frozen=True, slots=True)
class StandbyVersion:
    """A verified version that is not loaded, since a higher one serves."""

    facts: ModelFacts
    name: str
    version: str


class Registry:
    """Models by project and name. `load` once, from any thread; everything else may be called at any time."""

    def __init__(self, shelf: Shelf, build_engine: EngineFactory, limits: ImageLimits) -> None:
        self._shelf: Shelf | None = shelf
        self._build_engine = build_engine
        self._limits = limits
        self._models: dict[tuple[str, str], ServedModel] = {}
        self._standby: tuple[StandbyVersion, ...] = ()
        self._failures = shelf.failures
        self._loaded = threading.Event()

    def load(self) -> None:
        """Load every model, then let the bundles' bytes go. Never raises for a model that does not load."""
        shelf, self._shelf = self._shelf, None
        if shelf is None:
            return
        models: dict[tuple[str, str], ServedModel] = {}
        standby: list[StandbyVersion] = []
        failures = list(shelf.failures)
        try:
            for key, versions in _by_model(shelf.bundles):
                for shelved in versions:
                    if key in models:
                        standby.append(_standby_version(shelved))
                        continue
                    try:
                        models[key] = load_model(shelved, self._build_engine, self._limits)
                    except OnsightError as error:
                        failures.append(failure_of(error, shelved.project, shelved.file_name))
                    except Exception as error:  # whatever a runtime throws must not keep the others from serving
                        log.exception("model failed to load")
                        failed = EngineError(f"graph: it fails when it runs ({type(error).__name__}). Export it again.")
                        failures.append(failure_of(failed, shelved.project, shelved.file_name))
        finally:
            self._models, self._standby, self._failures = models, tuple(standby), tuple(failures)
            self._loaded.set()

    @property
    def phase(self) -> Phase:
        if not self._loaded.is_set():
            return Phase.LOADING
        return Phase.READY if self._models else Phase.NO_MODELS

    @property
    def models(self) -> tuple[ServedModel, ...]:
        """Those that answer, sorted by project and name."""
        return tuple(self._models[key] for key in sorted(self._models))

    @property
    def standby(self) -> tuple[StandbyVersion, ...]:
        return self._standby

    @property
    def failures(self) -> tuple[Failure, ...]:
        return self._failures

    def get(self, projects: Iterable[str], name: str, wait_s: float = 0.0) -> ServedModel:
        """The model of this name in the first of the projects that has it.

        wait_s: how long to wait for loading to finish.  Raises ModelsLoading or UnknownModel.
        """
        if not self._loaded.wait(wait_s):
            raise ModelsLoading("The models are still loading. Try again in a moment.")
        for project in projects:
            model = self._models.get((project, name))
            if model is not None:
                return model
        raise UnknownModel("No model of this name is served here. GET /v1/models lists those that are.")

    @contextmanager
    def lease(self, projects: Iterable[str], name: str, wait_s: float = 0.0) -> Iterator[ServedModel]:
        """`get`, for as long as the model is in use."""
        yield self.get(projects, name, wait_s)


def load_model(shelved: ShelvedBundle, build_engine: EngineFactory, limits: ImageLimits) -> ServedModel:
    """Make one verified bundle answer: engine, graph against manifest, golden replay, warm-up.

    Raises EngineError (ProviderMismatch, GraphMismatch), GoldenMismatch or MalformedBundle.
    """
    bundle, manifest = shelved.bundle, shelved.bundle.manifest
    check_manifest_tensors(manifest)
    engine = build_engine(manifest, bundle.files[choose_variant(manifest).file])
    difference = replay_golden(Golden.from_bytes(bundle.files[manifest.golden]), manifest, engine.infer)
    engine.warm_up()
    log.info(
        "model ready",
        extra={
            "project": shelved.project,
            "model": manifest.name,
            "version": manifest.version,
            "providers": ",".join(engine.providers),
            "golden_difference": float(f"{difference:.3g}"),
        },
    )
    return ServedModel(_facts(shelved), manifest, engine, limits, difference)


def choose_variant(manifest: Manifest) -> Variant:
    """The full-precision form, which every machine runs; else the first."""
    return next((variant for variant in manifest.variants if variant.precision == "fp32"), manifest.variants[0])


def _by_model(bundles: Iterable[ShelvedBundle]) -> Iterable[tuple[tuple[str, str], list[ShelvedBundle]]]:
    """Project and name -> its versions, highest first; of equal versions the later file name first."""

    def key(shelved: ShelvedBundle) -> tuple[str, str]:
        return shelved.project, shelved.bundle.manifest.name

    for name, group in groupby(sorted(bundles, key=key), key):
        yield (
            name,
            sorted(group, key=lambda one: (natural_order(one.bundle.manifest.version), one.file_name), reverse=True),
        )


def _facts(shelved: ShelvedBundle) -> ModelFacts:
    return ModelFacts(shelved.project, shelved.file_name, shelved.bundle.manifest_sha256, shelved.bundle.key_id)


def _standby_version(shelved: ShelvedBundle) -> StandbyVersion:
    return StandbyVersion(_facts(shelved), shelved.bundle.manifest.name, shelved.bundle.manifest.version)
