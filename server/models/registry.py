"""The models of one process: which answer now, and for whom they are kept alive. Loads nothing; the keeper does.

What serves is one immutable table, swapped whole, so a request sees the old models or the new ones and never a mixture.
A model that has left the table is closed when the last request that leased it has ended.
"""

from __future__ import annotations

import logging
import threading
import zlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import cast

from licenses.errors import EXIT_CODES, Code, LicenseError
from server.errors import ModelsLoading, UnknownModel
from server.models.model import ServedModel

log = logging.getLogger("onsight.server")


class Phase(StrEnum):
    """Where a registry stands."""

    LOADING = "loading"
    READY = "ready"
    NO_MODELS = "no_models"
    UNLICENSED = "unlicensed"


@dataclass(frozen=True, slots=True)
class Failure:
    """A bundle that does not serve. reason: fit for a client, so without paths.

    name, version: of the model, where the bundle could be verified.  kept: an earlier copy of the file serves.
    """

    project: str
    file_name: str
    code: str
    reason: str
    name: str | None = None
    version: str | None = None
    kept: bool = False

    @property
    def unlicensed(self) -> bool:
        """Whether the model is known and a licence is all that it lacks."""
        return self.name is not None and self.code in EXIT_CODES


@dataclass(frozen=True, slots=True)
class StandbyVersion:
    """A verified version that is not loaded."""

    project: str
    name: str
    version: str
    file_name: str


class Slot:
    """A loaded model and the requests that use it. As a context manager it is one request's lease."""

    __slots__ = ("_lock", "_retired", "_users", "model")

    def __init__(self, model: ServedModel) -> None:
        self.model = model
        self._lock = threading.Lock()
        self._users = 0
        self._retired = False

    def take(self) -> bool:
        """Begin a lease; False when the model has been closed meanwhile."""
        with self._lock:
            if self._retired and not self._users:
                return False
            self._users += 1
            return True

    def retire(self) -> None:
        """Close the model as soon as nobody uses it."""
        with self._lock:
            self._retired = True
            unused = not self._users
        if unused:
            self._close()

    def __enter__(self) -> ServedModel:
        return self.model

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._users -= 1
            unused = self._retired and not self._users
        if unused:
            self._close()

    def _close(self) -> None:
        try:
            self.model.engine.close()
        except Exception:  # the request whose end this is has its answer, and the others have their models
            log.exception("engine not closed", extra={"model": self.model.label})


ModelKey = tuple[str, str]  # project and name


@dataclass(frozen=True, slots=True)
class Table:
    """What serves. slots: for each model its loaded versions, highest first."""

    slots: Mapping[ModelKey, tuple[Slot, ...]]
    standby: tuple[StandbyVersion, ...] = ()
    failures: tuple[Failure, ...] = ()

    @property
    def digest(self) -> int:
        """32 bits that differ between processes that do not serve the same bundles."""
        serving = sorted((key, slot.model.facts.manifest_sha256) for key, slots in self.slots.items() for slot in slots)
        return zlib.crc32(repr(serving).encode())


class Registry:
    """Models by project and name. Any thread may ask; one at a time publishes."""

    def __init__(self) -> None:
        self._table = Table({})
        self._loaded = threading.Event()

    def publish(self, table: Table) -> None:
        """Serve these from now on, and let go of those that are not among them."""
        old, self._table = self._table, table
        self._loaded.set()
        kept = {id(slot) for slots in table.slots.values() for slot in slots}
        for slots in old.slots.values():
            for slot in slots:
                if id(slot) not in kept:
                    slot.retire()

    @property
    def table(self) -> Table:
        return self._table

    @property
    def loaded(self) -> bool:
        """Whether the first look at the folder is over."""
        return self._loaded.is_set()

    @property
    def phase(self) -> Phase:
        if not self._loaded.is_set():
            return Phase.LOADING
        if self._table.slots:
            return Phase.READY
        return Phase.UNLICENSED if any(each.unlicensed for each in self._table.failures) else Phase.NO_MODELS

    @property
    def models(self) -> tuple[ServedModel, ...]:
        """All that answer, sorted by project and name, of one name the highest version first."""
        return tuple(slot.model for _, slots in sorted(self._table.slots.items()) for slot in slots)

    @property
    def standby(self) -> tuple[StandbyVersion, ...]:
        return self._table.standby

    @property
    def failures(self) -> tuple[Failure, ...]:
        return self._table.failures

    def lease(
        self, projects: Sequence[str], name: str, wait_s: float = 0.0, version: str | None = None
    ) -> AbstractContextManager[ServedModel]:
        """The model of this name in the first of the projects that has it, for a `with` block.

        wait_s: how long to wait for the first loading to finish.  version: None is the highest that serves.
        Raises ModelsLoading, UnknownModel, or LicenseError where a licence is what the model lacks.
        """
        if not self._loaded.is_set() and not self._loaded.wait(wait_s):
            raise ModelsLoading("The models are still loading. Try again in a moment.")
        while True:
            table = self._table
            slot = _find(table, projects, name, version)
            if slot.take():
                return slot
            if table is self._table:  # closed, and yet it serves: cannot be
                raise UnknownModel("The model was unloaded at this moment. GET /v1/models lists those that serve.")

    def get(self, projects: Sequence[str], name: str, wait_s: float = 0.0, version: str | None = None) -> ServedModel:
        """Like `lease`, for a look at the model alone: it may be closed at any moment."""
        with self.lease(projects, name, wait_s, version) as model:
            return model


def _find(table: Table, projects: Sequence[str], name: str, version: str | None) -> Slot:
    for project in projects:
        for slot in table.slots.get((project, name), ()):
            if version is None or slot.model.manifest.version == version:
                return slot
    for project in projects:
        for failure in table.failures:
            of_this = (failure.project, failure.name) == (project, name) and version in (None, failure.version)
            if of_this and failure.unlicensed:
                raise LicenseError(cast(Code, failure.code), failure.reason)
    if version is not None:
        raise UnknownModel("This version of the model is not served here. GET /v1/models lists those that are.")
    raise UnknownModel("No model of this name is served here. GET /v1/models lists those that are.")
