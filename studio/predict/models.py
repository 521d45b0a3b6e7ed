"""The trained models of all projects, behind the interface of the server's registry: opened when they are asked for.

To lease one, in this order: may the caller predict in its project; which training is meant; its bundle, which is made
where there is none yet; verified, proven and kept in memory, the one that was used longest ago making room. The
thresholds that a person saved win over the bundle's. A caller learns nothing of projects that are not theirs.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from bundle.errors import OnsightError
from bundle.fingerprint import Fingerprint, fingerprint_of
from licenses.errors import LicenseError
from server.errors import ModelNotLoaded, ModelsLoading, Overloaded, UnknownModel
from server.models.model import ServedModel
from server.models.registry import ModelKey, Phase, Registry, Slot, StandbyVersion, Table
from studio.access.principal import Principal
from studio.access.privileges import Privilege
from studio.database.engine import Database
from studio.database.tables import jobs
from studio.errors import NotFound
from studio.jobs.queue import Kind
from studio.predict.bundles import USUAL_S, Bundles, Readiness
from studio.predict.names import Wanted, model_name, version_of, wanted_of
from studio.projects.store import Project, find_project, list_projects
from trainer.run_folder import ModelChoice

log = logging.getLogger("onsight.studio")

PRETRAINED: Final = "pretrained"  # of no project: bundles that the operator put into a folder, for everybody
_MOST_LISTED: Final = 1000

_CHOICES: Final[tuple[ModelChoice, ...]] = ("best", "last")

Open = Callable[[Path, str], ServedModel]
"""Opens the bundle at a path for a project, verified and proven. Raises OnsightError."""
Saved = Callable[[Connection, int, ModelChoice, Sequence[str]], tuple[float, ...] | None]
"""The thresholds that a person saved for a training, in the order of its labels; None where nobody did."""


@dataclass(frozen=True, slots=True)
class Found:
    """A model that the caller may use. training: its row, None for a pretrained one."""

    project: str
    training: Row[Any] | None
    choice: ModelChoice
    path: Path | None = None


class StudioModels(Registry):
    """pretrained: a folder of NAME.onsight.  kept: models in memory.  who: asks now, None for nobody."""

    def __init__(
        self, database: Database, bundles: Bundles, open_model: Open, saved: Saved, pretrained: Path, kept: int,
        who: Callable[[], Principal | None],
    ) -> None:  # fmt: skip
        super().__init__()
        self.publish(Table({}))
        self.bundles = bundles
        self._database = database
        self._open = open_model
        self._saved = saved
        self._pretrained = pretrained
        self._kept = kept
        self._who = who
        self._slots: OrderedDict[Path, tuple[Fingerprint, Slot]] = OrderedDict()
        self._lock = threading.Lock()
        self._opening = threading.Lock()  # one at a time: each takes a core, and memory twice for a moment

    # ---- for one model

    def lease(
        self, projects: Sequence[str], name: str, wait_s: float = 0.0, version: str | None = None
    ) -> AbstractContextManager[ServedModel]:
        """name: the model's or a training's public id.  version: see `wanted_of`.  wait_s: for its bundle.

        Raises UnknownModel, ModelsLoading while its bundle is made, ModelNotLoaded where that cannot be; LicenseError
        for a pretrained one that demands a licence.
        """
        found = self._find(projects, name, wanted_of(version))
        path = found.path or self._path_of(found, wait_s)
        return self._decided(self._taken(path, found.project), found)

    @contextmanager
    def _decided(self, slot: Slot, found: Found) -> Iterator[ServedModel]:
        """One request's lease, decided by the thresholds that were saved, if any were."""
        with slot as model:
            thresholds = None
            if found.training is not None:
                with self._database.reading() as connection:
                    thresholds = self._saved(connection, found.training.id, found.choice, model.manifest.labels)
            yield model if thresholds is None else model.with_thresholds(thresholds)

    def _find(self, projects: Sequence[str], name: str, wanted: Wanted) -> Found:
        who = self._who()
        for project in projects:
            if project == PRETRAINED and who is not None:
                path = self._pretrained / f"{name}.onsight"
                if path.is_file():
                    return Found(project, None, "best", path)
            training = None if who is None else self._training(who, project, name, wanted)
            if training is not None:
                return Found(project, training, wanted.choice)
        raise UnknownModel("There is no model of this name, or not for you. GET /v1/models lists those that there are.")

    def _training(self, who: Principal, project: str, name: str, wanted: Wanted) -> Row[Any] | None:
        """The newest that has a model; None where the caller may not know of one."""
        with self._database.reading() as connection:
            try:
                here = find_project(connection, project, who)
            except NotFound:
                return None
            if Privilege.PREDICT not in here.privileges & who.opened:
                return None
            for row in self._trainings(connection, here):
                called = name == row.public_id or model_name(name) == model_name(row.name)
                if called and wanted.training in (None, row.public_id) and self._is_trained(row, wanted.choice):
                    return row
        return None

    def _is_trained(self, training: Row[Any], choice: ModelChoice) -> bool:
        return self.bundles.look(training, choice).readiness is not Readiness.UNTRAINED

    def _path_of(self, found: Found, wait_s: float) -> Path:
        prepared = self.bundles.wait(found.training, found.choice, wait_s)
        if prepared.readiness is Readiness.READY:
            return prepared.path
        if prepared.readiness is Readiness.FAILED:
            raise ModelNotLoaded(f"The model could not be made ready to predict: {prepared.detail}")
        if prepared.readiness is Readiness.UNTRAINED:
            raise UnknownModel("This training has no such model, or not yet. Wait until it has ended.")
        raise ModelsLoading(
            f"The model is being prepared, for {prepared.since_s:.0f} s by now; that takes about {USUAL_S} s once, more"
            " on a busy machine. Try again in a moment."
        )

    # ---- in memory

    def _taken(self, path: Path, project: str) -> Slot:
        """The model in a slot that counts one user more."""
        fingerprint = fingerprint_of(path)
        slot = self._at_hand(path, fingerprint)
        if slot is None:
            with self._opening:
                slot = self._at_hand(path, fingerprint)  # another may just have opened it
                if slot is None:
                    slot = Slot(self._opened(path, project))
                    slot.take()
                    self._keep(path, fingerprint, slot)
        return slot

    def _at_hand(self, path: Path, fingerprint: Fingerprint) -> Slot | None:
        with self._lock:
            known = self._slots.get(path)
            if known is None or known[0] != fingerprint or not known[1].take():
                return None
            self._slots.move_to_end(path)
            return known[1]

    def _opened(self, path: Path, project: str) -> ServedModel:
        try:
            return self._open(path, project)
        except (LicenseError, Overloaded):
            raise
        except OnsightError as error:
            log.error("model not opened", extra={"bundle": path.name, "code": error.code, "reason": str(error)})
            raise ModelNotLoaded(f"The model's bundle does not load ({error.code}); the log says why.") from error

    def _keep(self, path: Path, fingerprint: Fingerprint, slot: Slot) -> None:
        with self._lock:
            self._slots[path] = (fingerprint, slot)
            self._slots.move_to_end(path)
            while len(self._slots) > self._kept:
                self._slots.popitem(last=False)
            by_key: dict[ModelKey, tuple[Slot, ...]] = {}
            for _, each in self._slots.values():
                key = (each.model.facts.project, each.model.manifest.name)
                by_key[key] = (*by_key.get(key, ()), each)
            self.publish(Table(by_key))  # which lets go of what is not in it, once nobody uses it

    # ---- what the caller sees

    @property
    def phase(self) -> Phase:
        return Phase.READY

    @property
    def models(self) -> tuple[ServedModel, ...]:
        """In memory, of the caller's projects."""
        seen = {project.public_id for project in self._projects()} | {PRETRAINED}
        return tuple(model for model in super().models if self._who() is not None and model.facts.project in seen)

    @property
    def standby(self) -> tuple[StandbyVersion, ...]:
        """Not in memory: opened when they are asked for."""
        loaded = {(model.facts.project, model.manifest.version) for model in self.models}
        found = []
        with self._database.reading() as connection:
            for project in self._projects():
                for row in self._trainings(connection, project):
                    for choice in _CHOICES:
                        version = version_of(row.public_id, choice)
                        if (project.public_id, version) not in loaded and self._is_trained(row, choice):
                            name = model_name(row.name)
                            found.append(StandbyVersion(project.public_id, name, version, f"{choice}.onsight"))
        return tuple(found)

    def _projects(self) -> list[Project]:
        """Those that the caller may predict in."""
        who = self._who()
        if who is None:
            return []
        with self._database.reading() as connection:
            seen = list_projects(connection, who, _MOST_LISTED, 0)
        return [project for project in seen if Privilege.PREDICT in project.privileges & who.opened]

    @staticmethod
    def _trainings(connection: Connection, project: Project) -> Sequence[Row[Any]]:
        """The newest first."""
        columns = (jobs.c.id, jobs.c.public_id, jobs.c.name, jobs.c.kind, jobs.c.state)
        own = select(*columns).where(jobs.c.project_id == project.id, jobs.c.kind == Kind.TRAINING.value)
        return list(connection.execute(own.order_by(jobs.c.id.desc()).limit(_MOST_LISTED)))
