"""The audit log: who did what, when, from where. Written in the transaction of what it tells of, never changed.

Labelling is not in it: every change of a label is an event of its project (`studio.labels.events`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, insert, or_, select

from studio.database.tables import audit, projects, users


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks, and how. user_id: None for nobody known.  at: of the request."""

    user_id: int | None
    address: str
    request_id: str
    at: datetime


def record(
    connection: Connection,
    actor: Actor,
    action: str,
    subject: str,
    *,
    project_id: int | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Add one line. action: `thing.verb`.  subject: what it was done to, for people.  details: JSON values."""
    connection.execute(
        insert(audit).values(
            at=actor.at,
            action=action,
            user_id=actor.user_id,
            project_id=project_id,
            subject=subject[:400],
            details=dict(details or {}),
            address=actor.address[:64],
            request_id=actor.request_id[:64],
        )
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines; all that is given must hold. action: one, or what stands before its dot.  until: not included."""

    action: str | None = None
    user_id: int | None = None
    project_id: int | None = None
    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None


EVERYTHING = Wanted()


def list_lines(
    connection: Connection, limit: int, before_id: int | None, wanted: Wanted = EVERYTHING
) -> list[Row[Any]]:
    """The latest first. before_id: of the last one seen."""
    statement = (
        select(
            audit,
            users.c.public_id.label("user"),
            users.c.name.label("user_name"),
            projects.c.public_id.label("p"),
            projects.c.name.label("project_name"),
        )
        .select_from(audit)
        .outerjoin(users, users.c.id == audit.c.user_id)
        .outerjoin(projects, projects.c.id == audit.c.project_id)
        .order_by(audit.c.id.desc())
        .limit(limit)
    )
    if before_id is not None:
        statement = statement.where(audit.c.id < before_id)
    return list(connection.execute(statement.where(*_conditions(wanted))))


def _conditions(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    if wanted.action is not None:
        yield or_(audit.c.action == wanted.action, audit.c.action.startswith(f"{wanted.action}.", autoescape=True))
    if wanted.user_id is not None:
        yield audit.c.user_id == wanted.user_id
    if wanted.project_id is not None:
        yield audit.c.project_id == wanted.project_id
    if wanted.subject is not None:
        yield audit.c.subject.icontains(wanted.subject, autoescape=True)
    if wanted.since is not None:
        yield audit.c.at >= wanted.since
    if wanted.until is not None:
        yield audit.c.at < wanted.until


def count_since(connection: Connection, action: str, subject: str, since: datetime, address: str | None = None) -> int:
    """How often that was done to that since then. address: from there alone."""
    statement = (
        select(func.count())
        .select_from(audit)
        .where(audit.c.action == action, audit.c.subject == subject[:400], audit.c.at >= since)
    )
    if address is not None:
        statement = statement.where(audit.c.address == address[:64])
    return int(connection.scalar(statement) or 0)
