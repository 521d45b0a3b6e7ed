"""Which images of a project are meant: filters of the grid, and selections for everything that is done to many."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, exists, select

from studio.database.tables import events, image_labels, images
from studio.errors import NotFound, TooMany
from studio.labels.id_sets import one_of

MOST_SELECTED = 1_000_000


@dataclass(frozen=True, slots=True)
class Filter:
    """All that is given must hold. Ids are the internal ones.

    labels: the image has all of them.  without: it has none of them.  kinds: of images.label_kind.
    name: part of the image's name, upper and lower case alike.
    """

    labels: tuple[int, ...] = ()
    without: tuple[int, ...] = ()
    default_label: int | None = None
    kinds: tuple[int, ...] = ()
    validation: bool | None = None
    uploaded_by: int | None = None
    labelled_by: int | None = None
    name: str | None = None


def images_of(project_id: int, wanted: Filter, *columns: Any) -> Select[Any]:
    """A query of these columns, of no order yet. With a label it walks that label's images, else the project's."""
    statement = select(*columns).select_from(images).where(images.c.project_id == project_id)
    if wanted.labels:
        first = (image_labels.c.image_id == images.c.id) & (image_labels.c.label_id == wanted.labels[0])
        statement = select(*columns).select_from(image_labels.join(images, first))
        statement = statement.where(images.c.project_id == project_id)
    for label_id in wanted.labels[1:]:
        statement = statement.where(_has(label_id))
    for label_id in wanted.without:
        statement = statement.where(~_has(label_id))
    if wanted.default_label is not None:
        statement = statement.where(_has_default(wanted.default_label))
    if wanted.kinds:
        kinds = sorted(set(wanted.kinds))
        # A single value lets the index give the order as well.
        is_kind = images.c.label_kind == kinds[0] if len(kinds) == 1 else images.c.label_kind.in_(kinds)
        statement = statement.where(is_kind)
    if wanted.validation is not None:
        # As the index of flagged images has it: only then is that one used.
        statement = statement.where(images.c.validation if wanted.validation else ~images.c.validation)
    if wanted.uploaded_by is not None:
        statement = statement.where(images.c.uploaded_by == wanted.uploaded_by)
    if wanted.labelled_by is not None:
        own = select(events.c.id).where(events.c.project_id == project_id, events.c.user_id == wanted.labelled_by)
        labelled = select(image_labels.c.image_id).where(image_labels.c.event_id.in_(own))
        statement = statement.where(images.c.id.in_(labelled))
    if wanted.name:
        statement = statement.where(images.c.name.icontains(wanted.name, autoescape=True))
    return statement


def ids_of_filter(connection: Connection, project_id: int, wanted: Filter, but: Collection[str] = ()) -> list[int]:
    """Ascending. but: public ids of those that are left out. Raises TooMany beyond a million."""
    statement = images_of(project_id, wanted, images.c.id, images.c.public_id)
    left_out = set(but)
    rows = connection.execute(statement.order_by(images.c.id).limit(MOST_SELECTED + len(left_out) + 1)).all()
    ids = [row.id for row in rows if row.public_id not in left_out] if left_out else [row.id for row in rows]
    if len(ids) > MOST_SELECTED:
        raise TooMany(f"selection: expected at most {MOST_SELECTED} images at once. Narrow the filter.")
    return ids


def ids_of_images(connection: Connection, project_id: int, public_ids: Collection[str]) -> list[int]:
    """Ascending. Raises NotFound where one is not there; nothing is done to the others then."""
    wanted = set(public_ids)
    own = one_of(connection, images.c.public_id, wanted) & (images.c.project_id == project_id)
    found = {row.public_id: row.id for row in connection.execute(select(images.c.public_id, images.c.id).where(own))}
    if len(found) < len(wanted):
        missing = min(wanted - set(found))
        raise NotFound(f"{len(wanted) - len(found)} images are not in this project (any more), {missing} is one.")
    return sorted(found.values())


def ids_by_name(connection: Connection, project_id: int) -> dict[str, int]:
    """Every image of a project."""
    rows = connection.execute(select(images.c.name, images.c.id).where(images.c.project_id == project_id))
    return {row.name: row.id for row in rows}


def _has(label_id: int) -> ColumnElement[bool]:
    other = image_labels.alias()  # than the one that the query may walk
    return exists().where(other.c.label_id == label_id, other.c.image_id == images.c.id)


def _has_default(label_id: int) -> ColumnElement[bool]:
    """The default label is the one that was chosen, else the only one."""
    is_only = images.c.default_label_id.is_(None) & (images.c.label_count == 1) & _has(label_id)
    return (images.c.default_label_id == label_id) | is_only
