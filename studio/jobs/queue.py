"""The queue: rows of the table of jobs, each changed by one conditional update, so that nobody's word undoes another's.

queued -> claimed -> running -> done, failed or cancelled. A worker claims the oldest queued job and says every
second that it lives (`beat`); where it falls silent, the job goes back to its place in the queue. A worker that comes
back after that finds its claim gone: every update names the worker and changes nothing for another's job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, select, update

from bundle.manifest import Frozen
from studio.database.engine import Database
from studio.database.tables import jobs
from studio.errors import Conflict, NotFound
from studio.jobs.dataset import freeze
from studio.jobs.inputs import ExportInput, NoInput, TrainingInput

STALE_AFTER: Final = timedelta(seconds=60)


class Kind(StrEnum):
    TRAINING = "training"
    EXPORT = "export"
    FEATURES = "features"  # of a project's images; the studio's own, which nobody sees among the jobs


# Minutes at most: they need not wait behind a training.
SHORT_KINDS: Final = (Kind.EXPORT, Kind.FEATURES)


class State(StrEnum):
    QUEUED = "queued"
    CLAIMED = "claimed"  # a worker lays its files out
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


HELD: Final = (State.CLAIMED, State.RUNNING)
WAITING: Final = (State.QUEUED, *HELD)


@dataclass(frozen=True, slots=True)
class Beat:
    """What a worker hears back. held: the job is still its own.  exists: there is still such a job."""

    held: bool
    exists: bool = True
    cancel_requested: bool = False


# By people


def add_training(
    connection: Connection, project_id: int, user_id: int | None, name: str, wanted: TrainingInput, now: datetime
) -> Row[Any]:
    """Queue a training on the project's images and labels as they are now.

    Raises as `freeze` does, and where the training that it is to begin from is not there, or has no model.
    """
    if wanted.warm_start is not None:
        _check_trained(find_job(connection, project_id, wanted.warm_start))
    version = freeze(
        connection, project_id, now, wanted=wanted.labels, unlabelled=wanted.unlabelled_as_negative
    )  # fmt: skip
    return _add(connection, project_id, user_id, Kind.TRAINING, name, wanted, now, version.id)


def add_export(
    connection: Connection, project_id: int, user_id: int | None, wanted: ExportInput, now: datetime
) -> Row[Any]:
    """Queue the export of a training's model. Raises NotFound or Conflict where there is none."""
    trained = find_job(connection, project_id, wanted.training)
    _check_trained(trained)
    return _add(connection, project_id, user_id, Kind.EXPORT, trained.name, wanted, now, None)


def add_features(connection: Connection, project_id: int, now: datetime) -> None:
    """Queue the reading of the project's images, unless that waits already."""
    waits = (jobs.c.project_id == project_id) & (jobs.c.kind == Kind.FEATURES) & (jobs.c.state == State.QUEUED)
    if connection.scalar(select(jobs.c.id).where(waits).limit(1)) is None:
        _add(connection, project_id, None, Kind.FEATURES, "", NoInput(), now, None)


def find_job(connection: Connection, project_id: int, public_id: str) -> Row[Any]:
    own = (jobs.c.project_id == project_id) & (jobs.c.public_id == public_id) & (jobs.c.kind != Kind.FEATURES)
    row = connection.execute(select(jobs).where(own)).one_or_none()
    if row is None:
        raise NotFound("There is no such job in this project.", "JOB_NOT_FOUND")
    return row


def list_jobs(
    connection: Connection, project_id: int, limit: int, before_id: int | None = None, *, kind: str | None = None,
    states: Sequence[str] = (),
) -> list[Row[Any]]:  # fmt: skip
    """Newest first, without the studio's own. kind, states: of these alone, where given."""
    own = (jobs.c.project_id == project_id) & (jobs.c.kind != Kind.FEATURES)
    statement = select(jobs).where(own).order_by(jobs.c.id.desc()).limit(limit)
    if before_id is not None:
        statement = statement.where(jobs.c.id < before_id)
    if kind is not None:
        statement = statement.where(jobs.c.kind == kind)
    if states:
        statement = statement.where(jobs.c.state.in_(states))
    return list(connection.execute(statement))


def request_cancel(connection: Connection, job_id: int, now: datetime) -> None:
    """A queued job is cancelled at once, a held one by its worker. Raises Conflict where it has ended."""
    at_once = {"state": State.CANCELLED.value, "finished_at": now, "cancel_requested": True}
    if _change(connection, job_id, (State.QUEUED,), at_once):
        return
    if not _change(connection, job_id, HELD, {"cancel_requested": True}):
        raise Conflict("The job has ended already.", "JOB_ENDED")


def resume(connection: Connection, job_id: int) -> None:
    """Put a failed or cancelled job back into its place; it goes on where it stopped. Raises Conflict for others."""
    again = {
        "state": State.QUEUED.value, "cancel_requested": False, "deaths": 0, "message": None, "finished_at": None,
    }  # fmt: skip
    if not _change(connection, job_id, (State.FAILED, State.CANCELLED), again):
        raise Conflict("Only a job that failed or was cancelled can go on.", "JOB_NOT_ENDED")


def delete_job(connection: Connection, job_id: int) -> None:
    """Its row; its folder goes by `studio.jobs.folder`. Raises Conflict where a worker holds it."""
    gone = connection.execute(delete(jobs).where(jobs.c.id == job_id, jobs.c.state.not_in([s.value for s in HELD])))
    if not gone.rowcount:
        raise Conflict("The job is running. Cancel it first.", "JOB_RUNNING")


# By workers


def claim(database: Database, worker: str, now: datetime, kinds: Sequence[Kind] = tuple(Kind)) -> Row[Any] | None:
    """The oldest queued job of these kinds, now this worker's alone; None where there is none."""
    queued = (jobs.c.state == State.QUEUED) & jobs.c.kind.in_([kind.value for kind in kinds])
    oldest = select(jobs.c.id).where(queued).order_by(jobs.c.id).limit(1)
    while True:
        with database.reading() as connection:  # most looks find nothing, and must not hold up who writes
            job_id = connection.scalar(oldest)
        if job_id is None:
            return None
        with database.writing() as connection:
            row = connection.execute(
                update(jobs)
                .where(jobs.c.id == job_id, jobs.c.state == State.QUEUED)
                .values(state=State.CLAIMED.value, worker=worker, heartbeat_at=now)
                .returning(jobs)
            ).one_or_none()
        if row is not None:  # otherwise another was faster
            return row


def requeue_stale(database: Database, now: datetime, stale_after: timedelta = STALE_AFTER) -> int:
    """Give back the jobs of workers that have fallen silent. Returns how many."""
    silent = (jobs.c.state.in_([state.value for state in HELD])) & (jobs.c.heartbeat_at < now - stale_after)
    with database.reading() as connection:
        if connection.scalar(select(jobs.c.id).where(silent).limit(1)) is None:
            return 0
    with database.writing() as connection:
        return connection.execute(
            update(jobs).where(silent).values(state=State.QUEUED.value, worker=None)
        ).rowcount  # fmt: skip


def beat(
    database: Database, job_id: int, worker: str, now: datetime, progress: Mapping[str, Any] | None = None
) -> Beat:
    """Say that the worker lives and where the job is. progress: None leaves it as it was."""
    values: dict[str, Any] = {"heartbeat_at": now}
    if progress is not None:
        values["progress"] = dict(progress)
    with database.writing() as connection:
        held = connection.execute(
            _own(job_id, worker).values(**values).returning(jobs.c.cancel_requested)
        ).one_or_none()
        if held is not None:
            return Beat(held=True, cancel_requested=bool(held.cancel_requested))
        exists = connection.scalar(select(jobs.c.id).where(jobs.c.id == job_id)) is not None
    return Beat(held=False, exists=exists)


def start(database: Database, job_id: int, worker: str, now: datetime) -> bool:
    """Its process begins, or goes on. False where the claim is lost, here and below."""
    with database.writing() as connection:
        first = connection.scalar(select(jobs.c.started_at).where(jobs.c.id == job_id)) or now
        values = {"state": State.RUNNING.value, "started_at": first, "heartbeat_at": now}
        return connection.execute(_own(job_id, worker).values(**values)).rowcount == 1


def finish(
    database: Database, job_id: int, worker: str, state: State, now: datetime, message: str | None = None
) -> bool:
    values = {"state": state.value, "finished_at": now, "worker": None, "message": message}
    with database.writing() as connection:
        return connection.execute(_own(job_id, worker).values(**values)).rowcount == 1


def release(database: Database, job_id: int, worker: str) -> bool:
    """Back to its place in the queue: the worker stops."""
    with database.writing() as connection:
        values = {"state": State.QUEUED.value, "worker": None}
        return connection.execute(_own(job_id, worker).values(**values)).rowcount == 1


def count_death(database: Database, job_id: int, worker: str) -> int:
    """Note that its process was killed. Returns how often by now; a lost claim counts none."""
    with database.writing() as connection:
        died = connection.execute(_own(job_id, worker).values(deaths=jobs.c.deaths + 1).returning(jobs.c.deaths))
        return int(died.scalar_one_or_none() or 0)


def _check_trained(job: Row[Any]) -> None:
    if job.kind != Kind.TRAINING or job.state not in (State.DONE, State.CANCELLED):
        raise Conflict("Only a training that has ended has a model to export or to begin from.", "NOT_TRAINED")


def _own(job_id: int, worker: str) -> Any:
    return update(jobs).where(
        jobs.c.id == job_id, jobs.c.worker == worker, jobs.c.state.in_([state.value for state in HELD])
    )


def _change(connection: Connection, job_id: int, states: tuple[State, ...], values: Mapping[str, Any]) -> bool:
    among = jobs.c.state.in_([state.value for state in states])
    return connection.execute(update(jobs).where(jobs.c.id == job_id, among).values(**values)).rowcount == 1


def _add(
    connection: Connection, project_id: int, user_id: int | None, kind: Kind, name: str,
    wanted: Frozen, now: datetime, dataset_id: int | None,
) -> Row[Any]:  # fmt: skip
    values = {
        "project_id": project_id, "user_id": user_id, "kind": kind.value, "name": name, "dataset_id": dataset_id,
        "input": wanted.model_dump(mode="json"), "state": State.QUEUED.value, "progress": {}, "created_at": now,
    }  # fmt: skip
    return connection.execute(insert(jobs).values(**values).returning(jobs)).one()
