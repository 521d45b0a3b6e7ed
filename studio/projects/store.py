"""Projects: add, find, list, rename, delete. Whoever is no member does not learn that one exists."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, insert, select, update

from studio.access.principal import Principal
from studio.access.privileges import Privilege, ProjectRole
from studio.database.tables import event_sets, events, image_labels, images, labels, members, projects
from studio.errors import NotFound


@dataclass(frozen=True, slots=True)
class Project:
    """A project as somebody sees it. role: None for an admin who is no member.

    privileges: of the user; what a token of theirs may do here is `privileges & principal.opened`.
    """

    id: int
    public_id: str
    name: str
    created_at: datetime
    role: ProjectRole | None
    privileges: frozenset[Privilege]


def add_project(connection: Connection, name: str, owner_id: int, now: datetime) -> Row[Any]:
    row = connection.execute(insert(projects).values(name=name, created_at=now).returning(projects)).one()
    connection.execute(
        insert(members).values(
            project_id=row.id, user_id=owner_id, role=ProjectRole.OWNER.value, privileges=[], created_at=now
        )
    )
    return row


def find_project(connection: Connection, public_id: str, principal: Principal) -> Project:
    """Raises NotFound where there is none, and where this caller may not even know of it."""
    row = connection.execute(_seen_by(principal).where(projects.c.public_id == public_id)).one_or_none()
    project = row and _project(row, principal)
    if not project or Privilege.VIEW not in project.privileges:
        raise NotFound("There is no such project, or it is not shared with you.", "PROJECT_NOT_FOUND")
    return project


def list_projects(
    connection: Connection,
    principal: Principal,
    limit: int,
    after_id: int | None = None,
    *,
    newest_first: bool = False,
    search: str = "",
) -> list[Project]:
    """Those that the caller may see. after_id: the last one seen.  search: a part of the name, in any case."""
    statement = _seen_by(principal).order_by(projects.c.id.desc() if newest_first else projects.c.id).limit(limit)
    if after_id is not None:
        statement = statement.where(projects.c.id < after_id if newest_first else projects.c.id > after_id)
    if search:
        statement = statement.where(projects.c.name.icontains(search, autoescape=True))
    if not principal.sees_all_projects:
        statement = statement.where(members.c.user_id.is_not(None))
    if principal.token_project_id is not None:
        statement = statement.where(projects.c.id == principal.token_project_id)
    return [_project(row, principal) for row in connection.execute(statement)]


def rename_project(connection: Connection, project: Project, name: str) -> None:
    connection.execute(update(projects).where(projects.c.id == project.id).values(name=name))


def lock_project(connection: Connection, project_id: int) -> None:
    """Let nobody else change this project's images and labels until the transaction ends.

    Every transaction that changes them begins with this. SQLite lets one writer in at a time anyway.
    """
    found = connection.scalar(select(projects.c.id).where(projects.c.id == project_id).with_for_update())
    if found is None:
        raise NotFound("The project was deleted just now.", "PROJECT_NOT_FOUND")


def delete_project(connection: Connection, project: Project) -> list[str]:
    """Remove it with all rows that belong to it. Returns the digests of its images, whose files may now be nobody's."""
    lock_project(connection, project.id)
    own_events = select(events.c.id).where(events.c.project_id == project.id)
    own_labels = select(labels.c.id).where(labels.c.project_id == project.id)
    digests = list(connection.scalars(select(images.c.sha256).where(images.c.project_id == project.id)))
    # In this order nothing refers to what goes, and no row is looked up once for each that refers to it.
    connection.execute(delete(event_sets).where(event_sets.c.event_id.in_(own_events)))
    connection.execute(delete(image_labels).where(image_labels.c.label_id.in_(own_labels)))
    connection.execute(delete(images).where(images.c.project_id == project.id))
    connection.execute(delete(projects).where(projects.c.id == project.id))
    return digests


def _seen_by(principal: Principal) -> Any:
    own = and_(members.c.project_id == projects.c.id, members.c.user_id == principal.user_id)
    return select(projects, members.c.role, members.c.privileges).select_from(projects.outerjoin(members, own))


def _project(row: Row[Any], principal: Principal) -> Project:
    return Project(
        row.id,
        row.public_id,
        row.name,
        row.created_at,
        None if row.role is None else ProjectRole(row.role),
        principal.privileges_in(row.id, row.role, row.privileges),
    )
