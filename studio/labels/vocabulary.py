"""Which labels a project has: add, rename, recolour, order, merge, remove. All but colour and order are events.

A removed label keeps its row, so that an undo can bring it back under its id; its name is free at once.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, func, insert, select, update

from studio.database.tables import image_labels, images, labels
from studio.errors import Conflict, Invalid, NotFound
from studio.labels.events import Event, Kind
from studio.projects.store import lock_project

MOST_LABELS: Final = 10_000
MOST_CHARACTERS: Final = 100
# Far apart for the eye, also for most of those who see colours differently (after Okabe and Ito, and Tol).
COLOURS: Final = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442", "#882255",
    "#44aa99", "#999933", "#6699cc", "#aa4499", "#117733", "#ee8866", "#332288", "#bbbbbb",
)  # fmt: skip


def normal_name(name: str) -> str:
    """One spelling for accented letters, one kind of space, none around.

    Raises Invalid for an empty, long or unprintable name.
    """
    spaced = (" " if unicodedata.category(letter) == "Zs" else letter for letter in name)
    name = unicodedata.normalize("NFC", "".join(spaced)).strip()
    if not 1 <= len(name) <= MOST_CHARACTERS or not name.isprintable():
        raise Invalid(
            f"label: expected a name of 1 to {MOST_CHARACTERS} printable characters, found {name[:40]!r}.",
        )
    return name


def list_labels(connection: Connection, project_id: int) -> list[Row[Any]]:
    """In the order of the panel; the number keys follow it."""
    own = (labels.c.project_id == project_id) & labels.c.removed_at.is_(None)
    return list(connection.execute(select(labels).where(own).order_by(labels.c.position, labels.c.id)))


def find_label(connection: Connection, project_id: int, public_id: str) -> Row[Any]:
    """To change it, lock the project first: else it may be another one by then."""
    found = connection.execute(
        select(labels).where(
            labels.c.project_id == project_id, labels.c.public_id == public_id, labels.c.removed_at.is_(None)
        )
    ).one_or_none()
    if found is None:
        raise NotFound("There is no such label in this project.")
    return found


def find_labels(connection: Connection, project_id: int, public_ids: Collection[str]) -> dict[str, int]:
    """Ids of labels by their public ids. Raises NotFound where one is not there."""
    wanted = set(public_ids)
    if not wanted:
        return {}
    known = {row.public_id: row.id for row in list_labels(connection, project_id) if row.public_id in wanted}
    if len(known) < len(wanted):
        raise NotFound(f"There is no label {min(wanted - set(known))} in this project.")
    return known


def ensure_labels(connection: Connection, project_id: int, names: Collection[str], now: datetime) -> dict[str, int]:
    """Ids of labels by their normal names; what is missing is added at the end, in the given order."""
    known = {row.name: row.id for row in list_labels(connection, project_id)}
    wanted = list(dict.fromkeys(normal_name(name) for name in names))
    missing = [name for name in wanted if name not in known]
    if len(known) + len(missing) > MOST_LABELS:
        raise Invalid(f"labels: expected at most {MOST_LABELS} in a project, found {len(known) + len(missing)}.")
    if missing:
        last = select(func.max(labels.c.position)).where(labels.c.project_id == project_id)
        position = connection.scalar(last) or 0
        for offset, name in enumerate(missing, 1):
            known[name] = _insert(connection, project_id, name, None, position + offset, now).id
    return {name: known[name] for name in wanted}


def add_label(
    connection: Connection, project_id: int, user_id: int, name: str, colour: str | None, now: datetime
) -> Row[Any]:
    """A new one, at the end. Raises Conflict where the name is taken."""
    lock_project(connection, project_id)
    name = normal_name(name)
    _require_free(connection, project_id, name)
    rows = list_labels(connection, project_id)
    if len(rows) >= MOST_LABELS:
        raise Invalid(f"labels: expected at most {MOST_LABELS} in a project.")
    row = _insert(connection, project_id, name, colour, max((row.position for row in rows), default=0) + 1, now)
    Event(connection, project_id, user_id, Kind.ADD_LABEL, now, details={"label": row.id, "name": name}).finish()
    return row


def change_label(
    connection: Connection, row: Row[Any], user_id: int, now: datetime, *, name: str | None, colour: str | None
) -> Row[Any]:
    """Rename, recolour, or both. Raises Conflict where the name is taken; merging is another thing."""
    lock_project(connection, row.project_id)
    values: dict[str, Any] = {} if colour is None else {"colour": colour}
    if name is not None and normal_name(name) != row.name:
        values["name"] = normal_name(name)
        _require_free(connection, row.project_id, values["name"])
        details = {"label": row.id, "before": row.name, "after": values["name"]}
        Event(connection, row.project_id, user_id, Kind.RENAME_LABEL, now, details=details).finish()
    if values:
        connection.execute(update(labels).where(labels.c.id == row.id).values(**values))
    return connection.execute(select(labels).where(labels.c.id == row.id)).one()


def order_labels(connection: Connection, project_id: int, public_ids: Sequence[str]) -> None:
    """These first, in this order; the others after them, as they were."""
    lock_project(connection, project_id)
    rows = list_labels(connection, project_id)
    first = find_labels(connection, project_id, public_ids)
    order = [first[public_id] for public_id in dict.fromkeys(public_ids)]
    order += [row.id for row in rows if row.id not in set(order)]
    for position, label_id in enumerate(order, 1):
        connection.execute(update(labels).where(labels.c.id == label_id).values(position=position))


def merge_labels(
    connection: Connection, row: Row[Any], into: Row[Any], user_id: int, now: datetime
) -> tuple[Event, int]:
    """Every image of one label gets another, and the first label goes. Returns the event and how many images."""
    if row.id == into.id:
        raise Invalid("into: expected another label than the one that is merged.")
    lock_project(connection, row.project_id)
    details = {"label": row.id, "name": row.name, "into": into.id, "into_name": into.name}
    event = Event(connection, row.project_id, user_id, Kind.MERGE_LABELS, now, details=details)
    ids = _images_of(connection, row.id)
    own = (images.c.project_id == row.project_id) & (images.c.default_label_id == row.id)
    by_default = list(connection.scalars(select(images.c.id).where(own)))
    event.remove_label(row.id, ids)
    event.add_label(into.id, ids)
    event.set_default(into.id, by_default)
    _remove(connection, row.id, now)
    return event, len(ids)


def remove_label(connection: Connection, row: Row[Any], user_id: int, now: datetime) -> tuple[Event, int]:
    """From the data set: off every image, and out of the panel. Returns the event and how many images."""
    lock_project(connection, row.project_id)
    details = {"label": row.id, "name": row.name}
    event = Event(connection, row.project_id, user_id, Kind.REMOVE_LABEL, now, details=details)
    removed = event.remove_label(row.id, _images_of(connection, row.id))
    _remove(connection, row.id, now)
    return event, len(removed)


def restore_label(connection: Connection, label_id: int) -> None:
    """Bring a removed label back. Raises Conflict where its name is another label's by now."""
    row = connection.execute(select(labels).where(labels.c.id == label_id)).one()
    if row.removed_at is not None:
        _require_free(connection, row.project_id, row.name)
        connection.execute(update(labels).where(labels.c.id == label_id).values(removed_at=None))


def counts_of_labels(connection: Connection, project_id: int) -> dict[int, int]:
    """Images of each label that has any. One range of the key of image_labels for each label; no image is read."""
    own = select(labels.c.id).where(labels.c.project_id == project_id, labels.c.removed_at.is_(None))
    statement = (
        select(image_labels.c.label_id, func.count().label("images"))
        .where(image_labels.c.label_id.in_(own))
        .group_by(image_labels.c.label_id)
    )
    return {row.label_id: row.images for row in connection.execute(statement)}


def _images_of(connection: Connection, label_id: int) -> list[int]:
    return list(connection.scalars(select(image_labels.c.image_id).where(image_labels.c.label_id == label_id)))


def _remove(connection: Connection, label_id: int, now: datetime) -> None:
    connection.execute(update(labels).where(labels.c.id == label_id).values(removed_at=now))


def _require_free(connection: Connection, project_id: int, name: str) -> None:
    own = (labels.c.project_id == project_id) & labels.c.removed_at.is_(None)
    if connection.scalar(select(labels.c.id).where(own, labels.c.name == name)) is not None:
        raise Conflict(f"There is a label {name!r} already. Merge the two, or choose another name.", "LABEL_TAKEN")


def _insert(
    connection: Connection, project_id: int, name: str, colour: str | None, position: int, now: datetime
) -> Row[Any]:
    values = {
        "project_id": project_id,
        "name": name,
        "colour": colour or COLOURS[(position - 1) % len(COLOURS)],
        "position": position,
        "created_at": now,
    }
    return connection.execute(insert(labels).values(**values).returning(labels)).one()
