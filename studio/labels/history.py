"""What happened to a project's labels, for people: events, the latest first, each with what it changed. Reads alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select

from studio.database.tables import event_sets, events, labels, users
from studio.labels.events import Change


@dataclass(frozen=True, slots=True)
class Changed:
    """label, before: names as they are now; None where the change is about none, as of a flag."""

    change: Change
    label: str | None
    before: str | None
    images: int


@dataclass(frozen=True, slots=True)
class Told:
    """row: of events, with `user` (a public id), `user_name` and `is_undone`."""

    row: Row[Any]
    changes: tuple[Changed, ...]


def list_events(connection: Connection, project_id: int, limit: int, before_id: int | None) -> list[Told]:
    """The latest first. before_id: of the last one seen."""
    undoing = events.alias()
    statement = (
        select(
            events,
            users.c.public_id.label("user"),
            users.c.name.label("user_name"),
            select(undoing.c.id).where(undoing.c.undoes_id == events.c.id).exists().label("is_undone"),
        )
        .outerjoin(users, users.c.id == events.c.user_id)
        .where(events.c.project_id == project_id)
        .order_by(events.c.id.desc())
        .limit(limit)
    )
    if before_id is not None:
        statement = statement.where(events.c.id < before_id)
    rows = connection.execute(statement).all()
    changes = _changes_of(connection, project_id, [row.id for row in rows])
    return [Told(row, tuple(changes.get(row.id, ()))) for row in rows]


def _changes_of(connection: Connection, project_id: int, event_ids: Collection[int]) -> Mapping[int, list[Changed]]:
    """The sets of each event, those of one kind and label as one; in the order in which they were written."""
    sets = event_sets.c
    kind = (sets.event_id, sets.change, sets.label_id, sets.label_before_id)
    statement = (
        select(*kind, func.sum(sets.image_count).label("images"))
        .where(sets.event_id.in_(event_ids))
        .group_by(*kind)
        .order_by(func.min(sets.id))
    )
    own = select(labels.c.id, labels.c.name).where(labels.c.project_id == project_id)  # also those that were removed
    names: dict[int | None, str] = {row.id: row.name for row in connection.execute(own)}
    found: dict[int, list[Changed]] = {}
    for row in connection.execute(statement):
        one = Changed(Change(row.change), names.get(row.label_id), names.get(row.label_before_id), int(row.images))
        found.setdefault(row.event_id, []).append(one)
    return found
