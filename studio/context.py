"""What a request handler may reach: the parts that `create_app` was given, and nothing global."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from flask import current_app

from bundle.home import OnsightHome
from studio.analysis.scores import ModelCache
from studio.database.engine import Database
from studio.images.blobs import Blobs
from studio.settings import StudioSettings
from studio.similarity.encode import ImageEncoder
from studio.similarity.neighbours import NeighbourStore
from studio.similarity.store import FeatureStore

EXTENSION = "onsight"


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class StudioContext:
    """originals, thumbnails: the two stores of files.  now: the clock, aware.  measured: what models said, kept.

    features, neighbours: what images look like, kept.
    """

    settings: StudioSettings
    database: Database
    originals: Blobs
    thumbnails: Blobs
    now: Callable[[], datetime] = utc_now
    measured: ModelCache = field(default_factory=ModelCache)
    neighbours: NeighbourStore = field(default_factory=NeighbourStore)
    features: FeatureStore = field(init=False)
    encoder: ImageEncoder = field(init=False)

    def __post_init__(self) -> None:
        cache_dir = OnsightHome(self.settings.home).cache_dir
        object.__setattr__(self, "features", FeatureStore(cache_dir))
        object.__setattr__(self, "encoder", ImageEncoder(cache_dir))

    @property
    def session_lifetime(self) -> timedelta:
        return timedelta(days=self.settings.session_days)

    @property
    def link_lifetime(self) -> timedelta:
        return timedelta(hours=self.settings.link_hours)


def context() -> StudioContext:
    """The parts of the app that answers the current request."""
    found: StudioContext = current_app.extensions[EXTENSION]
    return found
