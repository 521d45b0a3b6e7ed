"""Undo: turn the latest event of a user in a project around, as a new event that says what it undoes.

What others changed since stays theirs: a label is taken off only where the event itself put it on, a default or a flag
goes back only where it still is what the event made it, and images that are gone are passed over.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, exists, select, update

from studio.database.tables import event_sets, events, image_labels, images, labels
from studio.errors import Conflict
from studio.labels.events import Change, Event, Kind
from studio.labels.id_sets import one_of, unpack
from studio.labels.vocabulary import restore_label
from studio.projects.store import lock_project

MOST_PASSED_OVER = 100


def undo_latest(connection: Connection, project_id: int, user_id: int, now: datetime) -> tuple[Event, Row[Any]]:
    """The new event, and the one that it undoes. Raises Conflict where there is none, or none that can be.

    One that can no longer be undone, as of a name that is taken by now, is passed over: it bars no earlier one.
    """
    lock_project(connection, project_id)
    undoing = events.alias()
    statement = (
        select(events)
        .where(
            events.c.project_id == project_id,
            events.c.user_id == user_id,
            events.c.undoes_id.is_(None),
            ~exists().where(undoing.c.undoes_id == events.c.id),
        )
        .order_by(events.c.id.desc())
        .limit(MOST_PASSED_OVER)
    )
    first: Conflict | None = None
    for undone in connection.execute(statement).all():
        try:
            with connection.begin_nested():
                return _undo(connection, project_id, user_id, now, undone), undone
        except Conflict as error:
            first = first or error
    raise first or Conflict("There is no change of yours that could be undone.", "NOTHING_TO_UNDO")


def _undo(connection: Connection, project_id: int, user_id: int, now: datetime, undone: Row[Any]) -> Event:
    event = Event(connection, project_id, user_id, Kind.UNDO, now, undoes_id=undone.id)
    _undo_vocabulary(connection, undone, event)
    statement_of_sets = select(event_sets).where(event_sets.c.event_id == undone.id).order_by(event_sets.c.id.desc())
    for one in connection.execute(statement_of_sets).all():
        _undo_set(connection, one, event)
    if Kind(undone.kind) is Kind.ADD_LABEL:
        connection.execute(update(labels).where(labels.c.id == undone.details["label"]).values(removed_at=now))
    event.finish()
    return event


def _undo_vocabulary(connection: Connection, undone: Row[Any], event: Event) -> None:
    details, kind = undone.details, Kind(undone.kind)
    if kind in (Kind.MERGE_LABELS, Kind.REMOVE_LABEL):
        restore_label(connection, details["label"])
    elif kind is Kind.RENAME_LABEL:
        taken = connection.scalar(
            select(labels.c.id).where(
                labels.c.project_id == undone.project_id,
                labels.c.name == details["before"],
                labels.c.removed_at.is_(None),
            )
        )
        if taken is not None:
            raise Conflict(f"Another label is called {details['before']!r} by now.", "LABEL_TAKEN")
        is_still = (labels.c.id == details["label"]) & (labels.c.name == details["after"])
        connection.execute(update(labels).where(is_still).values(name=details["before"]))
    elif kind is Kind.ADD_LABEL:  # whoever used it meanwhile would lose what they did
        used = select(image_labels.c.image_id).where(image_labels.c.label_id == details["label"]).limit(1)
        if connection.scalar(used) is not None:
            raise Conflict("The label is in use by now. Remove it instead.", "LABEL_TAKEN")


def _undo_set(connection: Connection, one: Row[Any], event: Event) -> None:
    change, ids = Change(one.change), unpack(one.image_ids)
    if change is Change.ADDED:
        event.remove_label(one.label_id, ids, only_of_event=one.event_id)
    elif change is Change.REMOVED:
        if connection.scalar(select(labels.c.id).where(labels.c.id == one.label_id, labels.c.removed_at.is_(None))):
            event.restore_label(one.label_id, dict(zip(ids, unpack(one.event_ids), strict=True)))
    elif change is Change.DEFAULT:
        is_still = select(images.c.id).where(
            one_of(connection, images.c.id, ids),
            images.c.default_label_id.is_not_distinct_from(one.label_id),
        )
        event.set_default(one.label_before_id, list(connection.scalars(is_still)))
    else:
        event.set_validation(change is Change.VALIDATION_OFF, ids)
