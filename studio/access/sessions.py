"""Sessions of browsers: a random id in a cookie, its digest in the database, gone after days without a visit."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select, update

from studio.access.principal import Principal
from studio.access.privileges import InstallRole
from studio.access.secrets import digest, new_secret
from studio.database.tables import sessions, users

SEEN_EVERY = timedelta(minutes=10)  # a visit is noted so often: each note is a write


def open_session(connection: Connection, user_id: int, now: datetime, lifetime: timedelta) -> str:
    """The new session's id. Sessions that have run out go on this occasion."""
    connection.execute(delete(sessions).where(sessions.c.expires_at <= now))
    session_id = new_secret()
    connection.execute(
        insert(sessions).values(
            sha256=digest(session_id), user_id=user_id, created_at=now, seen_at=now, expires_at=now + lifetime
        )
    )
    return session_id


def find_session(connection: Connection, session_id: str, now: datetime) -> tuple[Principal, bool] | None:
    """Whose it is, and whether this visit should be noted; None for none, or for somebody disabled."""
    found = connection.execute(
        select(users, sessions.c.seen_at)
        .join(sessions, sessions.c.user_id == users.c.id)
        .where(sessions.c.sha256 == digest(session_id), sessions.c.expires_at > now, users.c.disabled.is_(False))
    ).one_or_none()
    if found is None:
        return None
    principal = Principal(
        found.id, found.public_id, found.email, found.name, InstallRole(found.role), session_id=session_id
    )
    return principal, now - found.seen_at >= SEEN_EVERY


def note_visit(connection: Connection, session_id: str, now: datetime, lifetime: timedelta) -> None:
    connection.execute(
        update(sessions).where(sessions.c.sha256 == digest(session_id)).values(seen_at=now, expires_at=now + lifetime)
    )


def close_session(connection: Connection, session_id: str) -> None:
    connection.execute(delete(sessions).where(sessions.c.sha256 == digest(session_id)))


def close_sessions_of(connection: Connection, user_id: int, but: str | None = None) -> None:
    """All sessions of a user. but: the id of one that stays."""
    statement = delete(sessions).where(sessions.c.user_id == user_id)
    if but is not None:
        statement = statement.where(sessions.c.sha256 != digest(but))
    connection.execute(statement)
