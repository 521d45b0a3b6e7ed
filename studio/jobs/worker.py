"""A worker: claims the oldest job, runs its process to the end, claims the next. One job at a time.

For each job, in this order: look whether its result is there already; lay its files out; take over the process that
an earlier worker left, or start one; follow it, say once a second that the worker lives, hear of a cancel; note how it
ended.
The worker can be killed at any moment: every step can be done again, and is done again by the next worker.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from bundle.home import OnsightHome
from studio.database.engine import Database
from studio.database.tables import images, jobs
from studio.errors import StudioError
from studio.images.blobs import Blobs
from studio.jobs import queue
from studio.jobs.dataset import read_dataset
from studio.jobs.folder import JobFolder
from studio.jobs.inputs import TrainingInput
from studio.jobs.process import JobProcess
from studio.jobs.progress import EventTail
from studio.jobs.queue import Beat, Kind, State
from studio.predict.bundles import USUAL_S, Bundles
from studio.similarity.store import FeatureStore

log = logging.getLogger("onsight.studio.jobs")

MOST_DEATHS: Final = 3
_LAYOUT_BEATS: Final = 500  # images between two heartbeats while files are laid out


class ClaimLost(Exception):
    """The job is another worker's by now, or no more."""


@dataclass
class Worker:
    """root: folder of all jobs.  kinds: of the jobs that it takes.  environment: of the processes.

    grace_s: between asking a process to end and killing it.  sweep_every: between two looks for what deleted jobs left.

    Call `stop` from a signal handler or another thread: the job goes back into the queue, to go on at the next start.
    """

    database: Database
    originals: Blobs
    root: Path
    environment: dict[str, str]
    now: Callable[[], datetime]
    kinds: Sequence[Kind] = tuple(Kind)
    stale_after: timedelta = queue.STALE_AFTER
    interval_s: float = 1.0
    grace_s: float = 60.0
    sweep_every: timedelta = timedelta(minutes=10)
    name: str = field(default_factory=lambda: f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(8)}")
    _stopping: threading.Event = field(default_factory=threading.Event)

    def stop(self, *_: object) -> None:
        self._stopping.set()

    def run(self) -> None:
        """Until `stop`. A database that is away is waited for."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        swept: datetime | None = None
        while not self._stopping.is_set():
            try:
                if swept is None or self.now() - swept >= self.sweep_every:
                    self.sweep()
                    swept = self.now()
                busy = self.run_one()
            except OperationalError:
                log.exception("database failed")
                busy = False
            if not busy:
                self._stopping.wait(self.interval_s)

    def sweep(self) -> None:
        """Remove what deleted jobs left on the disk; those of a deleted project go by nothing else."""
        names = [path.name for path in self.root.iterdir() if path.is_dir()]  # first: a row is there before its folder
        with self.database.reading() as connection:
            known = set(connection.scalars(select(jobs.c.public_id)))
        for name in names:
            if name not in known:
                JobFolder(self.root, name).remove()

    def run_one(self) -> bool:
        """Claim a job and run it. False where none is queued."""
        queue.requeue_stale(self.database, self.now(), self.stale_after)
        job = queue.claim(self.database, self.name, self.now(), self.kinds)
        if job is None:
            return False
        place = JobFolder(self.root, job.public_id)
        log.info("job claimed", extra={"job": job.public_id, "kind": job.kind})
        try:
            self._run(job, place)
        except ClaimLost:
            log.warning("job lost to another worker", extra={"job": job.public_id})
        except OperationalError:
            raise  # of the job nothing is known to be wrong; it is claimed again when its heartbeat is stale
        except Exception as error:  # a job must not take the worker with it
            log.exception("job failed", extra={"job": job.public_id})
            message = str(error) if isinstance(error, StudioError) else "The studio could not run it; its log says why."
            with suppress(ClaimLost):
                self._finish(job, State.FAILED, message)
        return True

    def _run(self, job: Any, place: JobFolder) -> None:
        if job.kind == Kind.TRAINING:
            self._lay_out(job, place)
        elif job.kind == Kind.FEATURES:
            self._list_files(job, place)
        tail = EventTail(place.run.events_path, _budget_s(job))
        while True:
            process = JobProcess.find(place.lock_path)
            if process is None and place.is_complete(job):
                return self._finish_complete(job, tail)
            started_at_byte = place.log_path.stat().st_size if place.log_path.exists() else 0
            if process is None:
                if self._beat(job).cancel_requested:
                    return self._finish(job, State.CANCELLED)
                if self._stopping.is_set():
                    return self._release(job)
                command = place.command(job)
                process = JobProcess.start(place.lock_path, command, place.log_path, self.environment)
            if not queue.start(self.database, job.id, self.name, self.now()):
                raise ClaimLost
            cancelled = self._follow(job, place, process, tail)
            if place.is_complete(job):
                return self._finish_complete(job, tail)
            if cancelled:
                return self._finish(job, State.CANCELLED)
            if self._stopping.is_set():
                return self._release(job)
            status = process.status
            if status is not None and status > 0:
                return self._finish(job, State.FAILED, place.complaint(started_at_byte))
            if status is not None and queue.count_death(self.database, job.id, self.name) >= MOST_DEATHS:
                cause = f"signal {-status}" if status < 0 else "an interrupt"
                return self._finish(
                    job, State.FAILED, f"Its process was ended by {cause}, {MOST_DEATHS} times. Is memory short?"
                )

    def _follow(self, job: Any, place: JobFolder, process: JobProcess, tail: EventTail) -> bool:
        """Until the process has ended. Returns whether somebody cancelled the job."""
        while not process.wait(self.interval_s):
            try:
                heard = self._beat(job, tail.read())
            except OperationalError:  # it may come back; the process goes on meanwhile
                log.exception("database failed")
                continue
            except ClaimLost:
                if not self._exists(job):
                    place.remove()
                raise
            if heard.cancel_requested or self._stopping.is_set():
                self._stop_process(job, process)
                return heard.cancel_requested
        return self._beat(job, tail.read()).cancel_requested

    def _stop_process(self, job: Any, process: JobProcess) -> None:
        """Ask it to end, and keep saying that the worker lives while it does."""
        process.send(signal.SIGINT)
        deadline = self.now() + timedelta(seconds=self.grace_s)
        while not process.wait(self.interval_s):
            self._beat(job)
            if self.now() > deadline:
                process.send(signal.SIGKILL)

    def _lay_out(self, job: Any, place: JobFolder) -> None:
        with self.database.reading() as connection:
            version = read_dataset(connection, job.dataset_id)
        use_flags = TrainingInput.model_validate(job.input).use_validation_flags
        place.lay_out(version, self.originals, use_flags, self._alive(job, len(version)))

    def _list_files(self, job: Any, place: JobFolder) -> None:
        """Of the images whose features are not known."""
        own = select(images.c.sha256).where(images.c.project_id == job.project_id)
        with self.database.reading() as connection:
            digests = list(dict.fromkeys(connection.scalars(own)))
        known = FeatureStore(OnsightHome(Path(self.environment["ONSIGHT_HOME"])).cache_dir).known(digests)
        place.list_files([digest for digest in digests if digest not in known], self.originals, self._alive(job))

    def _alive(self, job: Any, total: int | None = None) -> Callable[[], None]:
        """To be called after each image: now and then it says that the worker lives."""
        done = 0

        def alive() -> None:
            nonlocal done
            done += 1
            if done % _LAYOUT_BEATS == 0:
                self._beat(job, None if total is None else {"stage": "files", "done": done, "total": total})

        return alive

    def _beat(self, job: Any, progress: dict[str, Any] | None = None) -> Beat:
        heard = queue.beat(self.database, job.id, self.name, self.now(), progress)
        if not heard.held:
            raise ClaimLost
        return heard

    def _exists(self, job: Any) -> bool:
        with self.database.reading() as connection:
            return connection.scalar(select(jobs.c.id).where(jobs.c.id == job.id)) is not None

    def _finish_complete(self, job: Any, tail: EventTail) -> None:
        """A training with the bundle that its best model answers from, so that it can be asked at once."""
        if job.kind == Kind.TRAINING:
            self._beat(job, {**(tail.read() or tail.state), "stage": "bundle", "eta_s": USUAL_S})
            bundles = Bundles(self.root, self.environment)
            bundles.make(job, "best", lambda: self._beat(job), self._stopping.is_set, self.interval_s)
        self._finish(job, State.DONE)

    def _finish(self, job: Any, state: State, message: str | None = None) -> None:
        if not queue.finish(self.database, job.id, self.name, state, self.now(), message):
            raise ClaimLost
        if job.kind == Kind.FEATURES:  # nobody asked for it, and nobody is to find it
            with self.database.writing() as connection:
                queue.delete_job(connection, job.id)
            JobFolder(self.root, job.public_id).remove()
        log.info("job ended", extra={"job": job.public_id, "state": state.value})

    def _release(self, job: Any) -> None:
        queue.release(self.database, job.id, self.name)
        log.info("job goes on later", extra={"job": job.public_id})


def _budget_s(job: Any) -> float:
    return TrainingInput.model_validate(job.input).minutes * 60 if job.kind == Kind.TRAINING else 0.0
