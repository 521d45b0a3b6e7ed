"""Put labels on many images at once, take them off, choose defaults, set flags: one event each.

The caller holds the project's lock from before it found the images on.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from studio.database.tables import image_labels, labels
from studio.labels.events import Event, Kind
from studio.labels.id_sets import one_of


def label_images(
    connection: Connection,
    project_id: int,
    user_id: int,
    image_ids: Sequence[int],
    now: datetime,
    *,
    add: Collection[int] = (),
    remove: Collection[int] = (),
    replace: bool = False,
    make_default: bool = False,
) -> Event:
    """Add and remove labels. replace: all others go.  make_default: the first that is added becomes the default."""
    event = Event(connection, project_id, user_id, Kind.LABEL, now)
    gone = set(remove)
    if replace:
        gone |= set(_labels_on(connection, project_id, image_ids)) - set(add)
    for label_id in sorted(gone):
        event.remove_label(label_id, image_ids)
    for label_id in add:
        event.add_label(label_id, image_ids)
    if make_default and add:
        event.set_default(next(iter(add)), image_ids)
    return event


def choose_default(
    connection: Connection, project_id: int, user_id: int, image_ids: Sequence[int], label_id: int | None, now: datetime
) -> Event:
    """Make a label the default of those of the images that have it; None: go back to none chosen."""
    event = Event(connection, project_id, user_id, Kind.DEFAULT, now)
    event.set_default(label_id, image_ids)
    return event


def flag_images(
    connection: Connection, project_id: int, user_id: int, image_ids: Sequence[int], on: bool, now: datetime
) -> Event:
    """Put images into the user-defined validation set, or take them out."""
    event = Event(connection, project_id, user_id, Kind.VALIDATION, now)
    event.set_validation(on, image_ids)
    return event


def _labels_on(connection: Connection, project_id: int, image_ids: Sequence[int]) -> list[int]:
    own = select(labels.c.id).where(labels.c.project_id == project_id)
    on = one_of(connection, image_labels.c.image_id, image_ids) & image_labels.c.label_id.in_(own)
    return list(connection.scalars(select(image_labels.c.label_id).where(on).distinct()))
