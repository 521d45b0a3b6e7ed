"""What all tables share: one MetaData with named constraints, moments in UTC, and public ids.

A row has an integer id, which never leaves the studio, and, where others may name it, a short random public id.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import BigInteger, Column, DateTime, Integer, MetaData, String
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

PUBLIC_ID_LENGTH = 11  # of 55 characters: 63 bits, so two of a billion rows are alike once in twenty studios
PUBLIC_ID_ALPHABET = "23456789abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ"  # without 0O1lI, which people mix up

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Id = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows by itself for this very type alone

# Of tables whose ids are remembered without a reference (events keep sets of images; an upload keeps its project):
# SQLite would give the id of the last row, once that is gone, to the next one. PostgreSQL never does.
NEVER_AGAIN: Final[dict[str, Any]] = {"sqlite_autoincrement": True}


class Instant(TypeDecorator[datetime]):
    """A moment, aware and in UTC on the way in and out; SQLite keeps it without a zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"expected an aware datetime, found {value!r}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def id_column() -> Column[int]:
    return Column("id", Id, primary_key=True)


def public_id_column() -> Column[str]:
    return Column("public_id", String(PUBLIC_ID_LENGTH), nullable=False, unique=True, default=new_public_id)


def new_public_id(*_: Any) -> str:
    """A random name for a row; only letters and digits, so that it can stand in any address or file name."""
    return "".join(secrets.choice(PUBLIC_ID_ALPHABET) for _ in range(PUBLIC_ID_LENGTH))
