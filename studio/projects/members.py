"""Who shares a project, in which role, with which further privileges. There is always an owner left.

Whoever shares gives no privilege that they lack, and changes nobody who has one that they lack: else the privilege to
share would be every other as well.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from studio.access.privileges import PROJECT_PRIVILEGES, Privilege, ProjectRole, in_project
from studio.database.tables import members, users
from studio.errors import Conflict, Forbidden, Invalid, NotFound
from studio.projects.store import lock_project


def list_members(connection: Connection, project_id: int) -> list[Row[Any]]:
    """Each with `public_id`, `email` and `name` of the user."""
    return list(
        connection.execute(
            select(users.c.public_id, users.c.email, users.c.name, members.c.role, members.c.privileges)
            .join(members, members.c.user_id == users.c.id)
            .where(members.c.project_id == project_id)
            .order_by(users.c.id)
        )
    )


def share(
    connection: Connection,
    project_id: int,
    user_id: int,
    role: ProjectRole,
    further: Collection[Privilege],
    now: datetime,
    held: frozenset[Privilege],
) -> None:
    """Make a user a member, or change what they are. held: the privileges of who does it.

    Raises Forbidden beyond those, Conflict where no owner would be left.
    """
    strange = set(further) - PROJECT_PRIVILEGES
    if strange:
        raise Invalid(f"privileges: expected privileges in a project, found {', '.join(sorted(strange))}.")
    _require_held(held, role.value, further)
    lock_project(connection, project_id)
    _require_held(held, *_membership(connection, project_id, user_id))
    values = {"role": role.value, "privileges": sorted(privilege.value for privilege in set(further))}
    own = (members.c.project_id == project_id) & (members.c.user_id == user_id)
    if not connection.execute(update(members).where(own).values(**values)).rowcount:
        connection.execute(insert(members).values(project_id=project_id, user_id=user_id, created_at=now, **values))
    _require_an_owner(connection, project_id)


def unshare(connection: Connection, project_id: int, user_id: int, held: frozenset[Privilege]) -> None:
    """held: as for `share`. Raises NotFound for no member, Forbidden, Conflict for the last owner."""
    lock_project(connection, project_id)
    _require_held(held, *_membership(connection, project_id, user_id))
    own = (members.c.project_id == project_id) & (members.c.user_id == user_id)
    if not connection.execute(delete(members).where(own)).rowcount:
        raise NotFound("This user is no member of the project.")
    _require_an_owner(connection, project_id)


def _membership(connection: Connection, project_id: int, user_id: int) -> tuple[str | None, list[str]]:
    """Role and further privileges; no role for no member."""
    own = (members.c.project_id == project_id) & (members.c.user_id == user_id)
    found = connection.execute(select(members.c.role, members.c.privileges).where(own)).one_or_none()
    return (None, []) if found is None else (found.role, found.privileges)


def _require_held(held: frozenset[Privilege], role: str | None, further: Collection[str]) -> None:
    lacking = in_project(role, further) - held
    if lacking:
        raise Forbidden(
            f"This needs the privilege {min(lacking)} as well: one can neither give it without having it, nor change a"
            " member who has it.",
            "PRIVILEGE_MISSING",
        )


def _require_an_owner(connection: Connection, project_id: int) -> None:
    """Raised within the transaction, which then leaves everything as it was."""
    query = select(members.c.user_id).where(
        members.c.project_id == project_id, members.c.role == ProjectRole.OWNER.value
    )
    if connection.execute(query.limit(1)).one_or_none() is None:
        raise Conflict("There must be an owner left. Make another member an owner first.", "LAST_OWNER")
