"""Sets of images: kept in a few bytes, and handed to the database as one value in place of thousands.

On disk: ids as differences, each a 64-bit integer, deflated; a bulk operation on neighbours takes next to
nothing. In a statement: one JSON text (SQLite) or one array (PostgreSQL), which the database takes apart itself.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection
from typing import Any

import numpy as np
from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    Integer,
    Select,
    String,
    Text,
    any_,
    bindparam,
    cast,
    column,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeEngine


def pack(ids: Collection[int]) -> bytes:
    """In their order, which should be ascending: the differences are then small."""
    values = np.fromiter(ids, dtype="<i8", count=len(ids))
    return zlib.compress(np.diff(values, prepend=np.int64(0)).tobytes(), 1)


def unpack(packed: bytes) -> list[int]:
    values: list[int] = np.cumsum(np.frombuffer(zlib.decompress(packed), dtype="<i8")).tolist()
    return values


def rows_of(connection: Connection, ids: Collection[int]) -> Select[Any]:
    """A query of one column `id` with these values."""
    if connection.dialect.name == "sqlite":
        return _each_of_json(ids, Integer())
    return select(func.unnest(_array(ids, BigInteger())).column_valued("id"))


def one_of(connection: Connection, wanted: ColumnElement[Any], values: Collection[int] | Collection[str]) -> Any:
    """Whether the column's value is one of these. No character zero in a text."""
    if connection.dialect.name == "sqlite":
        return wanted.in_(_each_of_json(values, wanted.type))
    # As an array PostgreSQL knows how many there are; of a query it guesses ten, and may walk a table for each.
    return wanted == any_(_array(values, wanted.type))


def _each_of_json(values: Collection[Any], kind: TypeEngine[Any]) -> Select[Any]:
    text: BindParameter[str] = bindparam(None, json.dumps(list(values), separators=(",", ":")), unique=True)
    each = func.json_each(text).table_valued(column("value", kind))
    return select(each.c.value.label("id"))


def _array(values: Collection[Any], kind: TypeEngine[Any]) -> ColumnElement[Any]:
    kind = Text() if isinstance(kind, String) else BigInteger()
    return cast(bindparam(None, list(values), unique=True), ARRAY(kind))
