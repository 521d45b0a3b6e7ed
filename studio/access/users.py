"""Users: add, find, change. There is always an admin left; whoever is disabled is nobody from that moment on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from studio.access.privileges import InstallRole, ProjectRole
from studio.database.tables import members, projects, sessions, users
from studio.errors import Conflict, Invalid, NotFound

_EMAIL = re.compile(r"[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+")


def normal_email(email: str) -> str:
    """Lower case, without spaces around. Raises Invalid for what has no @ within."""
    email = email.strip().lower()
    if not _EMAIL.fullmatch(email) or len(email) > 320:
        raise Invalid("email: expected an address such as ada@example.org.")
    return email


def add_user(
    connection: Connection, email: str, name: str, role: InstallRole, password_hash: str | None, now: datetime
) -> Row[Any]:
    """The new row. Raises Conflict where the address is taken."""
    values = {"email": normal_email(email), "name": name, "role": role.value, "password_hash": password_hash}
    try:
        with connection.begin_nested():
            return connection.execute(
                insert(users).values(**values, disabled=False, created_at=now).returning(users)
            ).one()
    except IntegrityError as error:
        raise Conflict("email: there is a user of this address already.", "EMAIL_TAKEN") from error


def find_user(connection: Connection, public_id: str) -> Row[Any]:
    found = connection.execute(select(users).where(users.c.public_id == public_id)).one_or_none()
    if found is None:
        raise NotFound("There is no such user.")
    return found


def find_by_email(connection: Connection, email: str) -> Row[Any] | None:
    return connection.execute(select(users).where(users.c.email == email.strip().lower())).one_or_none()


def list_users(connection: Connection, limit: int, after_id: int, search: str = "") -> list[Row[Any]]:
    """Oldest first. search: a part of name or address, in any case."""
    statement = select(users).where(users.c.id > after_id).order_by(users.c.id).limit(limit)
    if search:
        fits = (column.icontains(search, autoescape=True) for column in (users.c.name, users.c.email))
        statement = statement.where(or_(*fits))
    return list(connection.execute(statement))


def change_user(
    connection: Connection,
    user: Row[Any],
    *,
    name: str | None = None,
    role: InstallRole | None = None,
    disabled: bool | None = None,
) -> Row[Any]:
    """Change what is given. Raises Conflict where no admin would be left."""
    values: dict[str, Any] = {}
    if name is not None:
        values["name"] = name
    if role is not None:
        values["role"] = role.value
    if disabled is not None:
        values["disabled"] = disabled
    if values:
        connection.execute(update(users).where(users.c.id == user.id).values(**values))
    _require_an_admin(connection)
    if disabled:
        connection.execute(delete(sessions).where(sessions.c.user_id == user.id))
    return connection.execute(select(users).where(users.c.id == user.id)).one()


def delete_user(connection: Connection, user: Row[Any]) -> None:
    """Remove a user with their sessions, tokens and memberships; what they did stays, without a name.

    Raises Conflict where no admin, or no owner of one of their projects, would be left.
    """
    alone = _owned_alone(connection, user.id)
    connection.execute(delete(users).where(users.c.id == user.id))
    _require_an_admin(connection)
    if alone:  # raised within the transaction as well
        raise Conflict(
            f"projects: {len(alone)} would have no owner, {alone[0]!r} among them. Make another member the owner of"
            " each, or delete it.",
            "LAST_OWNER",
        )


def there_is_none(connection: Connection) -> bool:
    """Whether this is a new install."""
    return connection.scalar(select(users.c.id).limit(1)) is None


def _require_an_admin(connection: Connection) -> None:
    """Raised within the transaction, which then leaves everything as it was."""
    query = select(users.c.id).where(users.c.role == InstallRole.ADMIN.value, users.c.disabled.is_(False))
    admins = connection.execute(query.with_for_update()).all()
    if not admins:
        raise Conflict("There must be an admin left. Make another user an admin first.", "LAST_ADMIN")


def _owned_alone(connection: Connection, user_id: int) -> Sequence[str]:
    """Names of the projects that this user alone owns."""
    other = members.alias()
    has_other = exists().where(
        other.c.project_id == members.c.project_id,
        other.c.role == ProjectRole.OWNER.value,
        other.c.user_id != user_id,
    )
    owned = members.c.role == ProjectRole.OWNER.value, members.c.user_id == user_id
    alone = select(projects.c.name).join(members, members.c.project_id == projects.c.id).where(*owned, ~has_other)
    return connection.scalars(alone.order_by(projects.c.id)).all()
