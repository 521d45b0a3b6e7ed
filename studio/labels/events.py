"""Events: one operation of one user, with the sets of images that it really changed.

The functions here change image_labels and images, and note what they changed, in one transaction that holds the
project's lock (`studio.projects.store.lock_project`). What is so already is left alone and noted nowhere.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, insert, literal, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from studio.database.tables import event_sets, events, image_labels, images
from studio.labels.id_sets import one_of, pack, rows_of


class Kind(StrEnum):
    """What a user did."""

    LABEL = "label"  # labels put on images or taken off
    DEFAULT = "default"
    VALIDATION = "validation"
    UPLOAD = "upload"  # labels given at an upload
    LABEL_FILE = "label_file"
    ADD_LABEL = "add_label"
    RENAME_LABEL = "rename_label"
    MERGE_LABELS = "merge_labels"
    REMOVE_LABEL = "remove_label"
    UNDO = "undo"


class Change(StrEnum):
    """What a set of images went through."""

    ADDED = "added"
    REMOVED = "removed"
    DEFAULT = "default"
    VALIDATION_ON = "validation_on"
    VALIDATION_OFF = "validation_off"


class Event:
    """An event that is being written. Call `finish` at the end of its transaction."""

    def __init__(
        self,
        connection: Connection,
        project_id: int,
        user_id: int | None,
        kind: Kind,
        now: datetime,
        *,
        details: dict[str, Any] | None = None,
        undoes_id: int | None = None,
        continues_id: int | None = None,
    ) -> None:
        """continues_id: of an event that this one goes on with, unless that was undone meanwhile."""
        self._connection, self._project_id = connection, project_id
        self._is_empty = not details and undoes_id is None
        self.changed: set[int] = set()  # images
        if continues_id is not None and (earlier := _not_undone(connection, continues_id)) is not None:
            self._is_empty = False
            self.id: int = earlier.id
            self.public_id: str = earlier.public_id
            return
        row = connection.execute(
            insert(events)
            .values(
                project_id=project_id, user_id=user_id, at=now, kind=kind.value, details=details or {},
                undoes_id=undoes_id,
            )
            .returning(events.c.id, events.c.public_id)
        ).one()  # fmt: skip
        self.id = row.id
        self.public_id = row.public_id

    def add_label(self, label_id: int, image_ids: Collection[int]) -> list[int]:
        """Put a label on images; returns those that did not have it."""
        if not image_ids:
            return []
        ids = rows_of(self._connection, image_ids).subquery()
        has_it = exists().where(image_labels.c.label_id == label_id, image_labels.c.image_id == ids.c.id)
        lacking = select(literal(label_id), ids.c.id, literal(self.id)).where(~has_it)
        statement = (
            insert(image_labels)
            .from_select(["label_id", "image_id", "event_id"], lacking)
            .returning(image_labels.c.image_id)
        )
        added = list(self._connection.scalars(statement))
        self._count(added, +1)
        self._note(Change.ADDED, added, label_id=label_id)
        return added

    def remove_label(self, label_id: int, image_ids: Collection[int], only_of_event: int | None = None) -> list[int]:
        """Take a label off images; returns those that had it. A default label that goes is none any more.

        only_of_event: leave it where another event than this one put it on.
        """
        if not image_ids:
            return []
        having = (image_labels.c.label_id == label_id) & one_of(self._connection, image_labels.c.image_id, image_ids)
        if only_of_event is not None:
            having &= image_labels.c.event_id == only_of_event
        found = self._connection.execute(
            select(image_labels.c.image_id, image_labels.c.event_id).where(having).order_by(image_labels.c.image_id)
        ).all()
        removed = [row.image_id for row in found]
        if not removed:
            return []
        # First, so that an undo, which goes backwards, finds the label on the image when it comes to its default.
        among = one_of(self._connection, images.c.id, removed)
        was_default = select(images.c.id).where(images.c.default_label_id == label_id, among)
        self.set_default(None, list(self._connection.scalars(was_default)))
        self._connection.execute(delete(image_labels).where(having))
        self._count(removed, -1)
        self._note(Change.REMOVED, removed, label_id=label_id, event_ids=pack([row.event_id for row in found]))
        return removed

    def restore_label(self, label_id: int, event_of_image: Mapping[int, int]) -> list[int]:
        """Put a label back on images, as of the events that had put it there; returns those that did not have it."""
        has_it = exists().where(image_labels.c.label_id == label_id, image_labels.c.image_id == images.c.id)
        lacking = select(images.c.id).where(
            one_of(self._connection, images.c.id, event_of_image), images.c.project_id == self._project_id, ~has_it
        )
        restored = list(self._connection.scalars(lacking.order_by(images.c.id)))
        if restored:
            rows = [
                {"label_id": label_id, "image_id": image_id, "event_id": event_of_image[image_id]}
                for image_id in restored
            ]
            self._connection.execute(insert(image_labels), rows)
        self._count(restored, +1)
        self._note(Change.ADDED, restored, label_id=label_id)
        return restored

    def set_default(self, label_id: int | None, image_ids: Collection[int]) -> list[int]:
        """Make a label the default of those images that have it; None: of none. Returns those that changed."""
        if not image_ids:
            return []
        differ = select(images.c.id, images.c.default_label_id).where(
            one_of(self._connection, images.c.id, image_ids),
            images.c.default_label_id.is_distinct_from(label_id),
        )
        if label_id is not None:
            has_it = exists().where(image_labels.c.label_id == label_id, image_labels.c.image_id == images.c.id)
            differ = differ.where(has_it)
        by_before: dict[int | None, list[int]] = {}
        for image_id, before in self._connection.execute(differ):
            by_before.setdefault(before, []).append(image_id)
        for before, ids in by_before.items():
            self._connection.execute(
                update(images).where(one_of(self._connection, images.c.id, ids)).values(default_label_id=label_id)
            )
            self._note(Change.DEFAULT, ids, label_id=label_id, label_before_id=before)
        return [image_id for ids in by_before.values() for image_id in ids]

    def set_validation(self, on: bool, image_ids: Collection[int]) -> list[int]:
        """Flag images for validation, or take the flag off; returns those that changed."""
        if not image_ids:
            return []
        changed = self._run(
            update(images)
            .where(one_of(self._connection, images.c.id, image_ids), images.c.validation.is_not(on))
            .values(validation=on)
            .returning(images.c.id)
        )
        self._note(Change.VALIDATION_ON if on else Change.VALIDATION_OFF, changed)
        return changed

    def finish(self) -> bool:
        """Forget the event where it changed nothing; returns whether it changed something."""
        if self._is_empty:
            self._connection.execute(delete(events).where(events.c.id == self.id))
        return not self._is_empty

    def _run(self, statement: ReturningUpdate[tuple[int]]) -> list[int]:
        return list(self._connection.scalars(statement))

    def _count(self, image_ids: Collection[int], step: int) -> None:
        if image_ids:
            self._connection.execute(
                update(images)
                .where(one_of(self._connection, images.c.id, image_ids))
                .values(label_count=images.c.label_count + step)
            )

    def _note(
        self,
        change: Change,
        image_ids: Collection[int],
        *,
        label_id: int | None = None,
        label_before_id: int | None = None,
        event_ids: bytes | None = None,
    ) -> None:
        if not image_ids:
            return
        self._is_empty = False
        self.changed.update(image_ids)
        self._connection.execute(
            insert(event_sets).values(
                event_id=self.id,
                change=change.value,
                label_id=label_id,
                label_before_id=label_before_id,
                image_count=len(image_ids),
                image_ids=pack(sorted(image_ids) if event_ids is None else image_ids),
                event_ids=event_ids,
            )
        )


def _not_undone(connection: Connection, event_id: int) -> Row[Any, Any] | None:
    undoing = events.alias()
    is_undone = exists().where(undoing.c.undoes_id == events.c.id)
    statement = select(events.c.id, events.c.public_id).where(events.c.id == event_id, ~is_undone)
    return connection.execute(statement).one_or_none()
