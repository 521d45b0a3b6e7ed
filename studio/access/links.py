"""One-time links: the first one, which makes the admin of a new install, and those for a first or a new password.

A link holds a secret, of which the digest is kept; using it removes it, in the transaction of what it is used for.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from studio.access.secrets import digest, new_secret
from studio.access.users import there_is_none
from studio.database.tables import links, users
from studio.errors import Forbidden


def new_setup_secret(connection: Connection, now: datetime, lifetime: timedelta) -> str | None:
    """The secret of a link that makes the first admin; earlier ones stop working. None where there are users."""
    if not there_is_none(connection):
        return None
    connection.execute(delete(links).where(links.c.user_id.is_(None)))
    return _add(connection, None, now, lifetime)


def new_password_secret(connection: Connection, user_id: int, now: datetime, lifetime: timedelta) -> str:
    """The secret of a link with which this user chooses a password; earlier ones stop working."""
    connection.execute(delete(links).where(links.c.user_id == user_id))
    return _add(connection, user_id, now, lifetime)


def check_setup_secret(connection: Connection, secret: str, now: datetime) -> None:
    """Raises Forbidden as `use_setup_secret` would; the link goes on working."""
    works = (links.c.sha256 == digest(secret)) & links.c.user_id.is_(None) & (links.c.expires_at > now)
    if connection.scalar(select(links.c.id).where(works)) is None or not there_is_none(connection):
        raise _no_setup_link()


def use_setup_secret(connection: Connection, secret: str, now: datetime) -> None:
    """Raises Forbidden unless it is the one of the latest start, and there is no user yet."""
    used = connection.execute(
        delete(links)
        .where(links.c.sha256 == digest(secret), links.c.user_id.is_(None), links.c.expires_at > now)
        .returning(links.c.id)
    ).one_or_none()
    if used is None or not there_is_none(connection):
        raise _no_setup_link()


def user_of_password_secret(connection: Connection, secret: str, now: datetime) -> Row[Any]:
    """The user whose link it is, which goes on working. Raises Forbidden as `use_password_secret` does."""
    works = (links.c.sha256 == digest(secret)) & (links.c.expires_at > now)
    return _user_of(connection, connection.execute(select(links.c.user_id).where(works)).one_or_none())


def use_password_secret(connection: Connection, secret: str, now: datetime) -> Row[Any]:
    """The user whose link it is. Raises Forbidden for one that is used, too old or of somebody disabled."""
    used = connection.execute(
        delete(links).where(links.c.sha256 == digest(secret), links.c.expires_at > now).returning(links.c.user_id)
    ).one_or_none()
    return _user_of(connection, used)


def _no_setup_link() -> Forbidden:
    return Forbidden(
        "This link is not, or no longer, the one that sets up this studio. Start it again: it prints a new one as"
        " long as there is no user.",
        "LINK_INVALID",
    )


def _user_of(connection: Connection, link: Row[Any] | None) -> Row[Any]:
    """link: none, or of nobody, is one that does not work."""
    user = None
    if link is not None and link.user_id is not None:
        user = connection.execute(
            select(users).where(users.c.id == link.user_id, users.c.disabled.is_(False))
        ).one_or_none()
    if user is None:
        raise Forbidden(
            "This link was used already, or is too old. Ask an admin of this studio for a new one.", "LINK_INVALID"
        )
    return user


def _add(connection: Connection, user_id: int | None, now: datetime, lifetime: timedelta) -> str:
    secret = new_secret()
    connection.execute(
        insert(links).values(sha256=digest(secret), user_id=user_id, created_at=now, expires_at=now + lifetime)
    )
    return secret
