"""Projects and their sharing."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

from flask import Response
from pydantic import Field

from server.openapi.describe import described
from studio.access import audit
from studio.access.guard import actor, principal, project, requires, signed_in
from studio.access.privileges import Privilege, ProjectRole
from studio.access.users import find_by_email, find_user
from studio.context import context
from studio.database.paging import cut, decode_cursor, encode_cursor
from studio.errors import Invalid
from studio.images.orphans import remove_unneeded
from studio.projects.members import list_members, share, unshare
from studio.projects.outlines import Outline, outlines_of
from studio.projects.store import Project as ProjectRow
from studio.projects.store import add_project, delete_project, find_project, list_projects, rename_project
from studio.routes.groups import Group
from studio.routes.problems import BODY, PAGE
from studio.routes.routes import Routes
from studio.routes.wire import (
    DONE,
    Email,
    In,
    Moment,
    Name,
    Out,
    PageQuery,
    Part,
    PublicId,
    body,
    created,
    query,
    read_model,
    read_query,
)

projects = Routes("projects", __name__, url_prefix="/studio/v1/projects")

PROJECT_EXAMPLE: Any = {
    "id": "p3Wn8rTyKea", "name": "Trash", "role": "owner", "privileges": ["label", "view"],
    "created_at": "2026-03-01T12:00:00Z",
}  # fmt: skip
MEMBER_EXAMPLE: Any = {
    "user": "7kQmTz3vWpa", "email": "ada@example.org", "name": "Ada", "role": "labeller", "privileges": ["train"],
}  # fmt: skip


class ProjectName(In):
    name: Name


class Project(Out):
    id: PublicId
    name: str
    role: ProjectRole | None = Field(description="of who asks; null for an admin who is no member")
    privileges: list[Privilege] = Field(description="what who asks may do in it")
    created_at: Moment


class ProjectQuery(PageQuery):
    order: Literal["oldest", "newest"] = Field(default="oldest", description="By when they were made.")
    search: Part = Field(default="", max_length=200, description="A part of the name, in any case.")
    outline: bool = Field(default=False, description="Whether `outline` is to be there: it has to be counted.")


class ProjectOutline(Out):
    images: int
    labels: int
    models: int = Field(description="trainings that ended with one")
    members: int
    covers: list[PublicId] = Field(description="up to four of its newest images")
    changed_at: Moment = Field(description="when images or labels last changed")


class ListedProject(Project):
    outline: ProjectOutline | None = Field(description="where it was asked for, and who asks may look into it")


class ProjectPage(Out):
    projects: list[ListedProject]
    next: str | None = Field(description="send it as `after`; null at the end")


class NewMember(In):
    email: Email = Field(description="of a user of this studio")
    role: ProjectRole
    privileges: list[Privilege] = Field(default=[], max_length=20, description="beside those of the role")


class ChangedMember(In):
    role: ProjectRole
    privileges: list[Privilege] = Field(default=[], max_length=20, description="beside those of the role")


class Member(Out):
    user: PublicId
    email: str
    name: str
    role: ProjectRole
    privileges: list[Privilege] = Field(description="beside those of the role")


class Members(Out):
    members: list[Member]


@projects.get("")
@signed_in
@described(
    Group.PROJECTS, "My projects", parameters=query(ProjectQuery),
    example={"projects": [{**PROJECT_EXAMPLE, "outline": None}], "next": None},
    problems=PAGE,
)  # fmt: skip
def mine() -> ProjectPage:
    """Those of one's own and those that are shared; for an admin all of them."""
    asked, who = read_query(ProjectQuery), principal()
    after_id = decode_cursor(asked.after, int)[0] if asked.after else None
    with context().database.reading() as connection:
        found = list_projects(
            connection, who, asked.limit + 1, after_id, newest_first=asked.order == "newest", search=asked.search
        )
        rows, last = cut(found, asked.limit)
        open_ids = [row.id for row in rows if Privilege.VIEW in row.privileges & who.opened]
        outlines = outlines_of(connection, open_ids) if asked.outline else {}
    listed = [ListedProject(**_project(row).model_dump(), outline=_outline(outlines.get(row.id))) for row in rows]
    return ProjectPage(projects=listed, next=None if last is None else encode_cursor(last.id))


@projects.post("")
@requires(Privilege.CREATE_PROJECTS)
@described(
    Group.PROJECTS, "Make a project", body=body(ProjectName, {"name": "Trash"}),
    answers=created(Project, "The project.", PROJECT_EXAMPLE), problems=BODY,
)  # fmt: skip
def make() -> tuple[Project, int]:
    """Who makes it owns it."""
    return new_project(read_model(ProjectName).name), 201


@projects.get("/<project>")
@requires(Privilege.VIEW)
@described(Group.PROJECTS, "One project", example=PROJECT_EXAMPLE)
def one(project: str) -> Project:
    """With what who asks may do in it."""
    return _project(this_project())


@projects.patch("/<project>")
@requires(Privilege.OWN)
@described(
    Group.PROJECTS, "Rename a project", body=body(ProjectName, {"name": "Trash, 2nd try"}), example=PROJECT_EXAMPLE,
    problems=BODY,
)  # fmt: skip
def rename(project: str) -> Project:
    """Its id stays."""
    name, row = read_model(ProjectName).name, this_project()
    with context().database.writing() as connection:
        rename_project(connection, row, name)
        audit.record(connection, actor(), "project.renamed", name, project_id=row.id, details={"before": row.name})
        return _project(find_project(connection, project, principal()))


@projects.delete("/<project>")
@requires(Privilege.OWN)
@described(Group.PROJECTS, "Delete a project", answers=DONE)
def delete(project: str) -> Response:
    """With its images, labels and models, for good."""
    parts, row = context(), this_project()
    with parts.database.writing() as connection:
        digests = delete_project(connection, row)
        audit.record(connection, actor(), "project.deleted", row.name, details={"images": len(digests)})
    remove_unneeded(parts.database, (parts.originals, parts.thumbnails), digests)
    return Response(status=204)


@projects.get("/<project>/members")
@requires(Privilege.VIEW)
@described(Group.PROJECTS, "Who shares it", example={"members": [MEMBER_EXAMPLE]})
def members(project: str) -> Members:
    """All members; admins can open every project without being one."""
    return _members()


@projects.post("/<project>/members")
@requires(Privilege.SHARE)
@described(
    Group.PROJECTS, "Share it with a user", body=body(NewMember, {"email": "ada@example.org", "role": "labeller"}),
    example={"members": [MEMBER_EXAMPLE]}, problems=(*BODY, "VALUE_INVALID", "LAST_OWNER"),
)  # fmt: skip
def add_member(project: str) -> Members:
    """By e-mail address. Who is a member already gets the new role."""
    given = read_model(NewMember)
    with context().database.reading() as connection:
        user = find_by_email(connection, given.email)
    if user is None:
        raise Invalid("email: there is no user of this address. An admin can invite one.")
    return _share(user.public_id, given.role, given.privileges)


@projects.put("/<project>/members/<user>")
@requires(Privilege.SHARE)
@described(
    Group.PROJECTS, "Change a member's role", body=body(ChangedMember, {"role": "editor", "privileges": []}),
    example={"members": [MEMBER_EXAMPLE]}, problems=(*BODY, "VALUE_INVALID", "LAST_OWNER"),
)  # fmt: skip
def change_member(project: str, user: str) -> Members:
    """By the user's id."""
    given = read_model(ChangedMember)
    return _share(user, given.role, given.privileges)


@projects.delete("/<project>/members/<user>")
@requires(Privilege.SHARE)
@described(Group.PROJECTS, "Share it no longer", answers=DONE, problems=("LAST_OWNER",))
def remove_member(project: str, user: str) -> Response:
    """What the member did stays."""
    row = this_project()
    with context().database.writing() as connection:
        found = find_user(connection, user)
        unshare(connection, row.id, found.id, _held())
        audit.record(connection, actor(), "project.unshared", found.email, project_id=row.id)
    return Response(status=204)


this_project = project  # views have an argument of the name, as their addresses do


def new_project(name: str) -> Project:
    """Make a project of whoever asks."""
    parts, who = context(), principal()
    with parts.database.writing() as connection:
        row = add_project(connection, name, who.user_id, parts.now())
        audit.record(connection, actor(), "project.made", name, project_id=row.id)
        return _project(find_project(connection, row.public_id, who))


def _share(user_id: str, role: ProjectRole, further: list[Privilege]) -> Members:
    row = this_project()
    with context().database.writing() as connection:
        user = find_user(connection, user_id)
        share(connection, row.id, user.id, role, further, context().now(), _held())
        details = {"role": role.value, "privileges": sorted(further)}
        audit.record(connection, actor(), "project.shared", user.email, project_id=row.id, details=details)
    return _members()


def _held() -> frozenset[Privilege]:
    """What who asks may do here, by the way they came."""
    return this_project().privileges & principal().opened


def _members() -> Members:
    with context().database.reading() as connection:
        rows = list_members(connection, this_project().id)
    return Members(
        members=[
            Member(user=row.public_id, email=row.email, name=row.name, role=row.role, privileges=row.privileges)
            for row in rows
        ]
    )


def _outline(found: Outline | None) -> ProjectOutline | None:
    return None if found is None else ProjectOutline(**asdict(found))


def _project(row: ProjectRow) -> Project:
    return Project(
        id=row.public_id,
        name=row.name,
        role=row.role,
        privileges=sorted(row.privileges & principal().opened),
        created_at=row.created_at,
    )
