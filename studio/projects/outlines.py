"""What a list of projects shows of each: how much is in it, who shares it, its newest images. One query for all."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, ScalarSelect, func, select

from studio.database.tables import events, images, jobs, labels, members, projects
from studio.jobs.queue import Kind, State

COVER_IMAGES: Final = 4


@dataclass(frozen=True, slots=True)
class Outline:
    """covers: public ids of its newest images, the newest first.  changed_at: when images or labels last were."""

    images: int
    labels: int
    models: int
    members: int
    covers: tuple[str, ...]
    changed_at: datetime


def outlines_of(connection: Connection, project_ids: Collection[int]) -> dict[int, Outline]:
    """By project. Every figure comes from an index; counting walks the project's images there, all else a few rows."""
    statement = select(
        projects.c.id,
        projects.c.created_at,
        _count(images).label("images"),
        _count(labels, labels.c.removed_at.is_(None)).label("labels"),
        _count(jobs, jobs.c.kind == Kind.TRAINING.value, jobs.c.state == State.DONE.value).label("models"),
        _count(members).label("members"),
        _newest(images, images.c.created_at).label("uploaded_at"),
        _newest(events, events.c.at).label("labelled_at"),
        *(_newest(images, images.c.public_id, place).label(f"cover_{place}") for place in range(COVER_IMAGES)),
    ).where(projects.c.id.in_(project_ids))
    return {row.id: _outline(row) for row in connection.execute(statement)}


def _count(table: Any, *conditions: Any) -> ScalarSelect[int]:
    return (
        select(func.count())
        .select_from(table)
        .where(table.c.project_id == projects.c.id, *conditions)
        .correlate(projects)
        .scalar_subquery()
    )


def _newest(table: Any, column: Any, place: int = 0) -> ScalarSelect[Any]:
    """Of the last row but `place`."""
    own = select(column).where(table.c.project_id == projects.c.id).order_by(table.c.id.desc())
    return own.limit(1).offset(place).correlate(projects).scalar_subquery()


def _outline(row: Row[Any]) -> Outline:
    covers = (row._mapping[f"cover_{place}"] for place in range(COVER_IMAGES))
    return Outline(
        images=row.images,
        labels=row.labels,
        models=row.models,
        members=row.members,
        covers=tuple(cover for cover in covers if cover is not None),
        changed_at=max(moment for moment in (row.created_at, row.uploaded_at, row.labelled_at) if moment is not None),
    )
