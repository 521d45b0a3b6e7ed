"""Pages of images, by key, in one of four orders, and where they begin; what an image is; how many of which kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, func, select, tuple_

from studio.database.paging import cut, decode_cursor, encode_cursor
from studio.database.tables import image_labels, images, users
from studio.database.tables.images import MULTI, SINGLE, UNLABELLED
from studio.errors import NotFound
from studio.images.filters import Filter, images_of
from studio.labels.id_sets import one_of


class Order(StrEnum):
    OLDEST = "oldest"  # by upload
    NEWEST = "newest"
    NAME = "name"
    NAME_DOWN = "name_down"


@dataclass(frozen=True, slots=True)
class Shown:
    """row: of images, with `uploader`, a public id.  labels: internal ids, ascending."""

    row: Row[Any]
    labels: tuple[int, ...]

    @property
    def default_label(self) -> int | None:
        """The one that was chosen, else the only one there is."""
        if self.row.default_label_id is None and len(self.labels) == 1:
            return self.labels[0]
        chosen: int | None = self.row.default_label_id
        return chosen


@dataclass(frozen=True, slots=True)
class Counts:
    images: int
    unlabelled: int
    single: int
    multi: int
    validation: int


def page_of_images(
    connection: Connection, project_id: int, wanted: Filter, order: Order, limit: int, after: str | None
) -> tuple[list[Shown], str | None]:
    """The page, and where the next one begins."""
    # The column whose index gives the order: walking a label's images, the label's own.
    by_id = image_labels.c.image_id if wanted.labels else images.c.id
    statement = images_of(project_id, wanted, images)
    if order in (Order.OLDEST, Order.NEWEST):
        column = by_id if order is Order.OLDEST else by_id.desc()
        if after is not None:
            (last_id,) = decode_cursor(after, int)
            statement = statement.where(by_id > last_id if order is Order.OLDEST else by_id < last_id)
        statement = statement.order_by(column)
    else:
        key = tuple_(images.c.name, images.c.id)
        if after is not None:
            last = decode_cursor(after, str, int)
            statement = statement.where(key > last if order is Order.NAME else key < last)
        columns = (images.c.name, images.c.id)
        statement = statement.order_by(*columns if order is Order.NAME else [one.desc() for one in columns])
    rows, last_row = cut(list(connection.execute(statement.limit(limit + 1))), limit)
    if last_row is None:
        return _with_labels(connection, rows), None
    by_name = order in (Order.NAME, Order.NAME_DOWN)
    following = encode_cursor(last_row.name, last_row.id) if by_name else encode_cursor(last_row.id)
    return _with_labels(connection, rows), following


def starts_of_pages(
    connection: Connection, project_id: int, wanted: Filter, order: Order, size: int
) -> tuple[int, list[str]]:
    """How many images fit, and where each page of this size begins but for the first one: what `after` takes.

    With these any page can be asked for at once, also one in the middle. Rows that come or go later shift nothing: a
    page then has some more or some fewer of them.
    """
    by_name = order in (Order.NAME, Order.NAME_DOWN)
    by_id = image_labels.c.image_id if wanted.labels else images.c.id
    columns = (images.c.name, images.c.id) if by_name else (by_id,)
    falling = order in (Order.NEWEST, Order.NAME_DOWN)
    place = func.row_number().over(order_by=[one.desc() for one in columns] if falling else columns)
    rows = images_of(project_id, wanted, *columns, place.label("place")).subquery()
    keys = [rows.c[column.name] for column in columns]
    count: int = connection.scalar(images_of(project_id, wanted, func.count())) or 0
    ends = select(*keys).where(rows.c.place % size == 0, rows.c.place < count).order_by(rows.c.place)
    return count, [encode_cursor(*row) for row in connection.execute(ends)] if count > size else []


def find_image(connection: Connection, project_id: int, public_id: str) -> Shown:
    statement = select(images).where(images.c.project_id == project_id, images.c.public_id == public_id)
    return _one(connection, connection.execute(statement).one_or_none())


def find_image_by_name(connection: Connection, project_id: int, name: str) -> Shown:
    statement = select(images).where(images.c.project_id == project_id, images.c.name == name)
    return _one(connection, connection.execute(statement).one_or_none())


def uploaders(connection: Connection, rows: Sequence[Shown]) -> dict[int, str]:
    """Public ids of who uploaded these, by internal id."""
    wanted = {one.row.uploaded_by for one in rows} - {None}
    found = connection.execute(select(users.c.id, users.c.public_id).where(users.c.id.in_(wanted)))
    return {row.id: row.public_id for row in found}


def count_images(connection: Connection, project_id: int) -> Counts:
    """One index is counted through; no image's row need be read."""
    by_kind = dict.fromkeys((UNLABELLED, SINGLE, MULTI), 0)
    flagged = 0
    statement = (
        select(
            images.c.label_kind,
            func.count().label("images"),
            func.count().filter(images.c.validation).label("flagged"),
        )
        .where(images.c.project_id == project_id)
        .group_by(images.c.label_kind)
    )
    for row in connection.execute(statement):
        by_kind[row.label_kind] = row.images
        flagged += row.flagged
    return Counts(
        images=sum(by_kind.values()),
        unlabelled=by_kind[UNLABELLED],
        single=by_kind[SINGLE],
        multi=by_kind[MULTI],
        validation=flagged,
    )


def _one(connection: Connection, row: Row[Any] | None) -> Shown:
    if row is None:
        raise NotFound("There is no such image in this project.")
    return _with_labels(connection, [row])[0]


def _with_labels(connection: Connection, rows: list[Row[Any]]) -> list[Shown]:
    if not rows:
        return []
    statement = select(image_labels.c.image_id, image_labels.c.label_id).where(
        one_of(connection, image_labels.c.image_id, [row.id for row in rows])
    )
    found: dict[int, list[int]] = {}
    for image_id, label_id in connection.execute(statement):
        found.setdefault(image_id, []).append(label_id)
    return [Shown(row, tuple(sorted(found.get(row.id, ())))) for row in rows]
