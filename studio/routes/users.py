"""Users and the audit log: for admins."""

from __future__ import annotations

from typing import Any

from flask import Response
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema
from sqlalchemy import Connection, Row

from server.openapi.describe import described
from studio.access import audit
from studio.access.guard import actor, principal, requires
from studio.access.links import new_password_secret
from studio.access.privileges import InstallRole, Privilege
from studio.access.users import add_user, change_user, delete_user, find_user, list_users
from studio.context import context
from studio.database.paging import cut, decode_cursor, encode_cursor
from studio.projects.store import find_project
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
    Time,
    body,
    created,
    query,
    read_model,
    read_query,
)

users = Routes("users", __name__, url_prefix="/studio/v1")

USER_EXAMPLE: Any = {
    "id": "7kQmTz3vWpa", "email": "ada@example.org", "name": "Ada", "role": "member", "disabled": False,
    "has_password": True, "created_at": "2026-03-01T12:00:00Z",
}  # fmt: skip


class NewUser(In):
    email: Email
    name: Name
    role: InstallRole = InstallRole.MEMBER


class ChangedUser(In):
    """What is not given stays as it is."""

    name: Name | None = None
    role: InstallRole | None = None
    disabled: bool | None = None


class UserQuery(PageQuery):
    search: Part = Field(default="", max_length=320, description="A part of name or e-mail address, in any case.")


class AuditQuery(PageQuery):
    action: Part | SkipJsonSchema[None] = Field(
        default=None, max_length=64, description="`project.shared`, or what stands before the dot: `project`."
    )
    user: PublicId | SkipJsonSchema[None] = Field(default=None, description="Who did it: a user's id.")
    project: PublicId | SkipJsonSchema[None] = Field(default=None, description="The project's id.")
    subject: Part | SkipJsonSchema[None] = Field(
        default=None, max_length=400, description="A part of what it was done to, in any case."
    )
    since: Time | SkipJsonSchema[None] = Field(default=None, description="From this moment on.")
    until: Time | SkipJsonSchema[None] = Field(default=None, description="Before this moment.")

    def resolve(self, connection: Connection) -> audit.Wanted:
        """With internal ids. Raises NotFound for a user or a project that is not there."""
        return audit.Wanted(
            action=self.action,
            user_id=find_user(connection, self.user).id if self.user else None,
            project_id=find_project(connection, self.project, principal()).id if self.project else None,
            subject=self.subject,
            since=self.since,
            until=self.until,
        )


class User(Out):
    id: PublicId
    email: str
    name: str
    role: InstallRole
    disabled: bool
    has_password: bool = Field(description="false: invited, and not yet come")
    created_at: Moment


class UserPage(Out):
    users: list[User]
    next: str | None = Field(description="send it as `after`; null at the end")


class InvitedUser(Out):
    user: User
    link: str = Field(description="with which the user chooses a password, once; hand it over by a safe way")


class PasswordLink(Out):
    link: str


class AuditLine(Out):
    at: Moment
    action: str
    subject: str = Field(description="what it was done to")
    user: PublicId | None = Field(description="who; null for nobody known, and for a user who is gone")
    user_name: str | None
    project: PublicId | None
    project_name: str | None = Field(description="by now")
    details: dict[str, Any]
    address: str = Field(description="where the request came from")
    request_id: str = Field(description="the server's log has more under it")


class AuditPage(Out):
    lines: list[AuditLine]
    next: str | None = Field(description="send it as `after`; null at the end")


@users.get("/users")
@requires(Privilege.MANAGE_USERS)
@described(
    Group.USERS, "All users", parameters=query(UserQuery), example={"users": [USER_EXAMPLE], "next": None},
    problems=PAGE,
)  # fmt: skip
def all_users() -> UserPage:
    """In the order in which they were added."""
    asked = read_query(UserQuery)
    after_id = decode_cursor(asked.after, int)[0] if asked.after else 0
    with context().database.reading() as connection:
        rows, last = cut(list_users(connection, asked.limit + 1, after_id, asked.search), asked.limit)
    return UserPage(users=[_user(row) for row in rows], next=None if last is None else encode_cursor(last.id))


@users.post("/users")
@requires(Privilege.MANAGE_USERS)
@described(
    Group.USERS, "Invite a user", body=body(NewUser, {"email": "ada@example.org", "name": "Ada", "role": "member"}),
    answers=created(InvitedUser, "The user, and the link to hand over."),
    problems=(*BODY, "VALUE_INVALID", "EMAIL_TAKEN"),
)  # fmt: skip
def invite() -> tuple[InvitedUser, int]:
    """The user comes in by a one-time link. No mail is sent: this studio knows no mail server."""
    given, parts = read_model(NewUser), context()
    with parts.database.writing() as connection:
        row = add_user(connection, given.email, given.name, given.role, None, parts.now())
        secret = new_password_secret(connection, row.id, parts.now(), parts.link_lifetime)
        audit.record(connection, actor(), "user.invited", row.email, details={"role": given.role.value})
    return InvitedUser(user=_user(row), link=password_link(secret)), 201


@users.get("/users/<user>")
@requires(Privilege.MANAGE_USERS)
@described(Group.USERS, "One user", example=USER_EXAMPLE)
def one_user(user: str) -> User:
    """By the user's id."""
    with context().database.reading() as connection:
        return _user(find_user(connection, user))


@users.patch("/users/<user>")
@requires(Privilege.MANAGE_USERS)
@described(
    Group.USERS, "Change a user", body=body(ChangedUser, {"role": "admin"}), example=USER_EXAMPLE,
    problems=(*BODY, "LAST_ADMIN"),
)  # fmt: skip
def change(user: str) -> User:
    """Name, role, or whether the user may come in at all. Whoever is disabled is out at once, tokens included."""
    given = read_model(ChangedUser)
    with context().database.writing() as connection:
        row = change_user(
            connection, find_user(connection, user), name=given.name, role=given.role, disabled=given.disabled
        )
        changes = given.model_dump(mode="json", exclude_none=True)
        audit.record(connection, actor(), "user.changed", row.email, details=changes)
    return _user(row)


@users.delete("/users/<user>")
@requires(Privilege.MANAGE_USERS)
@described(Group.USERS, "Delete a user", answers=DONE, problems=("LAST_ADMIN", "LAST_OWNER"))
def delete(user: str) -> Response:
    """With sessions, tokens and memberships. What the user did stays, without a name."""
    with context().database.writing() as connection:
        row = find_user(connection, user)
        delete_user(connection, row)
        who = actor()
        audit.record(
            connection,
            who if who.user_id != row.id else audit.Actor(None, who.address, who.request_id, who.at),
            "user.deleted",
            row.email,
        )
    return Response(status=204)


@users.post("/users/<user>/link")
@requires(Privilege.MANAGE_USERS)
@described(Group.USERS, "A link for a new password", answers=created(PasswordLink, "The link to hand over."))
def new_link(user: str) -> tuple[PasswordLink, int]:
    """For who forgot the password, or lost the first link; earlier links of the user stop working."""
    parts = context()
    with parts.database.writing() as connection:
        row = find_user(connection, user)
        secret = new_password_secret(connection, row.id, parts.now(), parts.link_lifetime)
        audit.record(connection, actor(), "password.link_made", row.email)
    return PasswordLink(link=password_link(secret)), 201


@users.get("/audit")
@requires(Privilege.READ_AUDIT)
@described(
    Group.USERS, "The audit log", parameters=query(AuditQuery), problems=(*PAGE, "NOT_FOUND", "PROJECT_NOT_FOUND")
)
def audit_log() -> AuditPage:
    """The latest first: who came in, who changed users, sharing, tokens and projects. Labelling is at its project."""
    asked = read_query(AuditQuery)
    before_id = decode_cursor(asked.after, int)[0] if asked.after else None
    with context().database.reading() as connection:
        wanted = asked.resolve(connection)
        rows, last = cut(audit.list_lines(connection, asked.limit + 1, before_id, wanted), asked.limit)
    return AuditPage(
        lines=[
            AuditLine(
                at=row.at,
                action=row.action,
                subject=row.subject,
                user=row.user,
                user_name=row.user_name,
                project=row.p,
                project_name=row.project_name,
                details=row.details,
                address=row.address,
                request_id=row.request_id,
            )
            for row in rows
        ],
        next=None if last is None else encode_cursor(last.id),
    )


def password_link(secret: str) -> str:
    """After the `#`, which browsers keep to themselves: no log between here and there has it."""
    return f"{context().settings.public_url}/password#{secret}"


def _user(row: Row[Any]) -> User:
    return User(
        id=row.public_id,
        email=row.email,
        name=row.name,
        role=InstallRole(row.role),
        disabled=row.disabled,
        has_password=row.password_hash is not None,
        created_at=row.created_at,
    )
