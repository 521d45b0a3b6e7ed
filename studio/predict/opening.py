"""Put the models together from the studio's parts: where bundles lie, whose are trusted, what runs them.

A model is opened as the server opens it: signature, digests, licence where it demands one, graph against manifest,
golden replay. It runs on this machine's CPU; who needs a GPU serves the bundle with `onsight serve`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bundle.cores import usable_cores
from bundle.home import OnsightHome
from bundle.load import load_bundle
from bundle.trust import TrustStore
from licenses.opener import opener_of
from server.engines.factory import EngineOptions, engine_factory
from server.errors import EngineError
from server.models.entitlement import entitlement_of
from server.models.loader import load_model
from server.models.model import ServedModel
from studio.access.principal import Principal
from studio.database.engine import Database
from studio.predict.bundles import Bundles
from studio.predict.models import Open, StudioModels
from studio.predict.thresholds import saved_thresholds
from studio.settings import StudioSettings

_MOST_THREADS: Final = 4  # of one inference; more gain little on one image


def bundles_of(settings: StudioSettings) -> Bundles:
    return Bundles(settings.jobs_folder, {**os.environ, "ONSIGHT_HOME": str(settings.home)})


def studio_models(settings: StudioSettings, database: Database, who: Callable[[], Principal | None]) -> StudioModels:
    """The models of one process. Opens nothing yet."""
    return StudioModels(
        database, bundles_of(settings), _opener(settings), saved_thresholds, settings.folder / "pretrained",
        settings.models_kept, who,
    )  # fmt: skip


def _opener(settings: StudioSettings) -> Open:
    home = OnsightHome(settings.home)
    build = engine_factory(EngineOptions(intra_op_threads=min(_MOST_THREADS, usable_cores())))

    def open_model(path: Path, project: str) -> ServedModel:
        bundle = load_bundle(path, TrustStore(home.trust_dir), opener=opener_of(home.licenses_dir))
        refusal = entitlement_of(home).refusal(bundle.manifest, bundle.manifest_sha256)
        if refusal is not None:
            raise refusal
        try:
            return load_model(bundle, project, path.name, build, settings.image_limits)
        except ModuleNotFoundError as error:
            raise EngineError(
                f"engine: expected the Python package {error.name}, found that it is not installed. Install Onsight's"
                " extra 'server' beside 'studio'."
            ) from error

    return open_model
