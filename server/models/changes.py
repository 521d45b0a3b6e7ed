"""Load and unload models by name, in all workers of a server: whichever is asked next answers the same.

In this order: is there such a model (a file may have landed a moment ago, so all look once more), write the wish down,
tell all workers, wait until each has done it, see what came of it. Knows no HTTP and no path.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from server.errors import (
    ChangeNotKept,
    ChangeUnderWay,
    ConfigurationError,
    ModelNotLoaded,
    StillChanging,
    UnknownModel,
)
from server.hosting.board import Board
from server.hosting.lifecycle import Lifecycle
from server.models.registry import ModelKey, Registry
from server.models.wishes import Wishes

WAIT_S = 60.0
POLL_S = 0.02
# More callers than these do not wait here: their threads are those that answer health checks.
AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """serving: versions of the model that answer now, highest first.  in_step: all workers serve the same models."""

    key: ModelKey
    serving: tuple[str, ...]
    workers: int
    in_step: bool


class Changes:
    """One a worker. every_version: whether all versions serve without a wish."""

    def __init__(
        self, registry: Registry, wishes: Wishes, lifecycle: Lifecycle, board: Board,
        *, every_version: bool = False, wait_s: float = WAIT_S,
    ) -> None:  # fmt: skip
        self._registry = registry
        self._wishes = wishes
        self._lifecycle = lifecycle
        self._board = board
        self._every_version = every_version
        self._wait_s = wait_s
        self._turns = threading.BoundedSemaphore(AT_ONCE)

    @property
    def worker_count(self) -> int:
        return sum(1 for worker in self._board.workers() if worker.pid)

    @property
    def in_step(self) -> bool:
        """Whether all workers serve the same models as this one."""
        mine = self._registry.table.digest
        return all(worker.models == mine for worker in self._board.workers() if worker.pid)

    def load(self, key: ModelKey, version: str | None) -> Outcome:
        """Serve the highest version that loads; or this version, beside those that serve.

        Raises UnknownModel, ModelNotLoaded, StillChanging, ChangeNotKept, ChangeUnderWay.
        """
        outcome = self._change(key, version, load=True)
        if version not in (None, *outcome.serving) or not outcome.serving:
            raise ModelNotLoaded(self._reason(key, version))
        return outcome

    def unload(self, key: ModelKey, version: str | None) -> Outcome:
        """Serve none of its versions; or this version no longer. Raises as `load` does, but for ModelNotLoaded."""
        return self._change(key, version, load=False)

    def _change(self, key: ModelKey, version: str | None, *, load: bool) -> Outcome:
        if not self._turns.acquire(blocking=False):
            raise ChangeUnderWay("Models are being loaded or unloaded already. Try again in a moment.")
        try:
            end = time.monotonic() + self._wait_s
            looked = not self._knows(key, version)
            if looked:
                self._everybody_looks(end)
            if not self._knows(key, version):
                raise UnknownModel(
                    "The models folder holds no such model. Put its bundle there first; if it is there, GET /v1/models"
                    " says why it could not be verified."
                )
            changed = self._write(key, version, load=load)
            if changed or (load and not looked):  # a load also tries again what failed, and sees what has just landed
                self._everybody_looks(end)
            return Outcome(key, self._serving(key), self.worker_count, self.in_step)
        finally:
            self._turns.release()

    def _write(self, key: ModelKey, version: str | None, *, load: bool) -> bool:
        try:
            if load:
                return self._wishes.load(key, version)
            return self._wishes.unload(key, version, self._serving(key), every_version=self._every_version)
        except (OSError, ConfigurationError) as error:
            raise ChangeNotKept(
                "The server cannot write its home folder, so nothing was changed; see its log."
            ) from error

    def _everybody_looks(self, end: float) -> None:
        generation = self._lifecycle.raise_generation()
        while any(worker.generation < generation for worker in self._board.workers() if worker.pid):
            if time.monotonic() > end:
                raise StillChanging("Not all workers are done yet; they go on. GET /v1/models shows how far they are.")
            time.sleep(POLL_S)

    def _serving(self, key: ModelKey) -> tuple[str, ...]:
        return tuple(slot.model.manifest.version for slot in self._registry.table.slots.get(key, ()))

    def _knows(self, key: ModelKey, version: str | None) -> bool:
        """Whether a bundle of it is there, serving or not."""
        table = self._registry.table
        found = {*self._serving(key)}
        found |= {one.version for one in table.standby if (one.project, one.name) == key}
        found |= {one.version for one in table.failures if (one.project, one.name) == key and one.version is not None}
        return bool(found) if version is None else version in found

    def _reason(self, key: ModelKey, version: str | None) -> str:
        reasons = [
            failure.reason
            for failure in self._registry.failures
            if (failure.project, failure.name) == key and version in (None, failure.version)
        ]
        return " ".join(reasons) or "It does not serve, though nothing failed: another call was quicker."
