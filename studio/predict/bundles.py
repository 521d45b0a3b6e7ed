"""The bundle that a trained model answers from: made once by the exporter, as a process of its own, by its job.

predict/best.onsight, predict/last.onsight    in full precision, without a demand for a licence
predict/best.lock, predict/best.log           of the process that makes it

Whoever needs one starts the process: the worker right after the training, or whoever predicts first. The lock lets one
run at a time, whatever process started it; a model that was trained on since is exported anew.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from studio.jobs.folder import PREDICT_FOLDER, JobFolder
from studio.jobs.inputs import ExportInput
from studio.jobs.process import JobProcess
from studio.jobs.queue import Kind, State
from studio.predict.names import model_name, version_of
from trainer.run_folder import ModelChoice

USUAL_S: Final = 10  # what an export of one model takes, mostly the loading of torch
AGAIN_AFTER_S: Final = 60.0  # a failed export may be tried again: memory or disk were short, perhaps
_POLL_S: Final = 0.1


class Readiness(StrEnum):
    READY = "ready"
    PREPARING = "preparing"
    ABSENT = "absent"  # it is made when somebody predicts
    FAILED = "failed"
    UNTRAINED = "untrained"


@dataclass(frozen=True, slots=True)
class Prepared:
    """since_s: how long it has been in the making.  detail: why it failed."""

    readiness: Readiness
    path: Path
    since_s: float = 0.0
    detail: str = ""


class Bundles:
    """root: folder of all jobs.  environment: of the exporting processes."""

    def __init__(self, root: Path, environment: Mapping[str, str]) -> None:
        self._root = root
        self._environment = dict(environment)
        self._lock = threading.Lock()
        self._started: dict[Path, JobProcess] = {}  # by their bundle; kept to hear how they ended

    def look(self, training: Any, choice: ModelChoice) -> Prepared:
        """How far the bundle is. training: row of the job."""
        place = JobFolder(self._root, training.public_id)
        paths = _Paths(place, choice)
        if training.kind != Kind.TRAINING or not place.run.trained or not place.run.weights_path(choice).is_file():
            return Prepared(Readiness.UNTRAINED, paths.bundle)
        if JobProcess.find(paths.lock) is not None:
            return Prepared(Readiness.PREPARING, paths.bundle, _age_s(paths.lock))
        if paths.bundle.is_file() and not _is_older(paths.bundle, place.run.weights_path(choice)):
            return Prepared(Readiness.READY, paths.bundle)
        if training.state not in (State.DONE, State.CANCELLED, State.FAILED) and not place.run.complete:
            return Prepared(Readiness.UNTRAINED, paths.bundle)  # its weights change from epoch to epoch
        tried = paths.log.is_file() and not _is_older(paths.log, place.run.weights_path(choice))
        if tried and _age_s(paths.log) < AGAIN_AFTER_S:
            return Prepared(Readiness.FAILED, paths.bundle, detail=place.complaint(path=paths.log))
        return Prepared(Readiness.ABSENT, paths.bundle)

    def start(self, training: Any, choice: ModelChoice) -> None:
        """Begin to make it; where a process does already, the new one ends at once."""
        place = JobFolder(self._root, training.public_id)
        paths = _Paths(place, choice)
        paths.lock.parent.mkdir(exist_ok=True)
        paths.log.touch()  # when it began: one that ends without a word has failed, too
        version = version_of(training.public_id, choice)
        wanted = ExportInput(training=training.public_id, model=choice, name=model_name(training.name), version=version)
        command = place.export_command(paths.bundle, wanted)
        with self._lock:
            for path, process in list(self._started.items()):
                if process.wait(0):
                    del self._started[path]
            if paths.bundle not in self._started:
                self._started[paths.bundle] = JobProcess.start(paths.lock, command, paths.log, self._environment)

    def make(
        self,
        training: Any,
        choice: ModelChoice,
        alive: Callable[[], object],
        stopping: Callable[[], bool],
        every_s: float,
    ) -> None:
        """Make it where it is absent, and wait for its end; whether that is a good one, `look` says.

        alive: called every so many seconds.  stopping: whether to wait no longer.
        """
        if self.look(training, choice).readiness is Readiness.ABSENT:
            self.start(training, choice)
        while self._is_busy(training, choice) and not stopping():
            alive()
            time.sleep(every_s)

    def wait(self, training: Any, choice: ModelChoice, timeout_s: float) -> Prepared:
        """Start it where it is absent, and wait so long for it."""
        deadline = time.monotonic() + timeout_s
        if self.look(training, choice).readiness is Readiness.ABSENT:
            self.start(training, choice)
        while (busy := self._is_busy(training, choice)) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        found = self.look(training, choice)
        return replace(found, readiness=Readiness.PREPARING) if busy else found

    def _is_busy(self, training: Any, choice: ModelChoice) -> bool:
        """Whether a process makes it: one of this process's own that has not taken the lock yet, too."""
        paths = _Paths(JobFolder(self._root, training.public_id), choice)
        with self._lock:
            own = self._started.get(paths.bundle)
            if own is not None and own.wait(0):
                del self._started[paths.bundle]
                own = None
        return own is not None or JobProcess.find(paths.lock) is not None


class _Paths:
    def __init__(self, place: JobFolder, choice: ModelChoice) -> None:
        folder = place.folder / PREDICT_FOLDER
        self.bundle = folder / f"{choice}.onsight"
        self.lock = folder / f"{choice}.lock"
        self.log = folder / f"{choice}.log"


def _age_s(path: Path) -> float:
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except OSError:
        return 0.0


def _is_older(path: Path, than: Path) -> bool:
    try:
        return path.stat().st_mtime_ns < than.stat().st_mtime_ns
    except OSError:
        return True
