"""Jobs as people see them: with their place in the queue, who asked for them, and what they learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from studio.access.principal import Principal
from studio.access.privileges import Privilege
from studio.database.tables import datasets, jobs, members, projects, users
from studio.jobs.estimates import Estimate, line_up
from studio.jobs.queue import HELD, WAITING, Kind


@dataclass(frozen=True, slots=True)
class DescribedJob:
    """estimate: None for a job that has ended.  dataset: public id, of a training."""

    row: Any
    estimate: Estimate | None
    user_name: str | None
    dataset: str | None
    image_count: int | None


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """id, name, project, project_name: None where the caller may not see the project."""

    id: str | None
    name: str | None
    project: str | None
    project_name: str | None
    kind: str
    state: str
    place: int
    starts_in_s: float
    takes_s: float


def describe_jobs(connection: Connection, rows: Sequence[Any], slots: int, now: datetime) -> list[DescribedJob]:
    """In the order of `rows`. slots: how many jobs run at once."""
    asked_by = {row.user_id for row in rows if row.user_id is not None}
    learnt = {row.dataset_id for row in rows if row.dataset_id is not None}
    names = {
        row.id: row.name for row in connection.execute(select(users.c.id, users.c.name).where(users.c.id.in_(asked_by)))
    }
    columns = (datasets.c.id, datasets.c.public_id, datasets.c.image_count)
    versions = {row.id: row for row in connection.execute(select(*columns).where(datasets.c.id.in_(learnt)))}
    waits = any(row.state in WAITING for row in rows)
    lined_up = line_up(_waiting(connection), slots, now) if waits else {}
    told = []
    for row in rows:
        version = versions.get(row.dataset_id)
        told.append(
            DescribedJob(
                row, lined_up.get(row.id), names.get(row.user_id),
                None if version is None else version.public_id, None if version is None else version.image_count,
            )
        )  # fmt: skip
    return told


def whole_queue(connection: Connection, who: Principal, slots: int, now: datetime) -> list[WaitingJob]:
    """What runs, then what waits, of all projects, in order."""
    rows = _waiting(connection)
    lined_up = line_up(rows, slots, now)
    own = (members.c.project_id == projects.c.id) & (members.c.user_id == who.user_id)
    seen = select(projects.c.id, projects.c.public_id, projects.c.name, members.c.role, members.c.privileges)
    among = projects.c.id.in_({row.project_id for row in rows})
    known = {
        project.id: project
        for project in connection.execute(seen.select_from(projects.outerjoin(members, own)).where(among))
        if Privilege.VIEW in who.privileges_in(project.id, project.role, project.privileges) & who.opened
    }
    told = []
    for row in sorted(rows, key=lambda each: (each.state not in HELD, each.id)):
        project, at = known.get(row.project_id), lined_up[row.id]
        told.append(
            WaitingJob(
                row.public_id if project else None, row.name if project else None,
                project.public_id if project else None, project.name if project else None,
                row.kind, row.state, at.place, round(at.starts_in_s, 1), round(at.takes_s, 1),
            )
        )  # fmt: skip
    return told


def _waiting(connection: Connection) -> list[Any]:
    """Of the whole install, in the queue's order."""
    waiting = jobs.c.state.in_([state.value for state in WAITING]) & (jobs.c.kind != Kind.FEATURES)
    return list(connection.execute(select(jobs).where(waiting).order_by(jobs.c.id)))
