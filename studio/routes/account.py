"""Signing in and out, the first start, links for passwords, and one's own account."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any

from flask import Response, jsonify
from pydantic import Field
from sqlalchemy import Connection, Row, update

from server.openapi.describe import Answer, Content, described
from server.problems import Problem
from studio.access import audit
from studio.access.audit import Actor
from studio.access.guard import actor, by_session, principal, public, signed_in
from studio.access.links import (
    check_setup_secret,
    use_password_secret,
    use_setup_secret,
    user_of_password_secret,
)
from studio.access.passwords import hash_password, is_outdated, verify_password
from studio.access.principal import Principal
from studio.access.privileges import InstallRole
from studio.access.secrets import csrf_of
from studio.access.sessions import close_session, close_sessions_of, open_session
from studio.access.users import add_user, change_user, find_by_email, find_user, there_is_none
from studio.context import context
from studio.database.tables import users
from studio.errors import Unauthorised
from studio.routes.cookies import clear_session, set_session
from studio.routes.groups import Group
from studio.routes.problems import BODY
from studio.routes.routes import Routes
from studio.routes.wire import DONE, JSON, Email, In, Name, Out, PublicId, body, read_model

account = Routes("account", __name__, url_prefix="/studio/v1")

WRONG_PASSWORDS = 10
WRONG_PASSWORDS_ANYWHERE = 100  # more, so that a stranger cannot easily keep a user out
WRONG_PASSWORDS_WITHIN = timedelta(minutes=10)
Password = Annotated[str, Field(max_length=1024)]
Secret = Annotated[str, Field(max_length=200, description="what the link has after `#`")]
SIGNED_IN_EXAMPLE: Any = {
    "id": "7kQmTz3vWpa", "email": "ada@example.org", "name": "Ada", "role": "admin", "scopes": None,
    "privileges": ["all_projects", "create_projects", "manage_users", "read_audit"], "csrf_token": "5f1d...",
}  # fmt: skip


class SignIn(In):
    email: Email
    password: Password


class SetUp(SignIn):
    secret: Secret
    name: Name


class ChosenPassword(In):
    secret: Secret
    password: Password


class LinkSecret(In):
    secret: Secret


class LinkOwner(Out):
    """Whom a link is for."""

    email: str
    name: str
    has_password: bool = Field(description="false: the link is an invitation")


class ChangedPassword(In):
    old_password: Password
    password: Password


class ChangedAccount(In):
    name: Name


class Me(Out):
    """Who asks."""

    id: PublicId
    email: str
    name: str
    role: InstallRole
    privileges: list[str] = Field(description="of the whole install; a project tells those in it")
    scopes: list[str] | None = Field(description="of the token; null for a session")
    csrf_token: str | None = Field(description="to be sent in X-CSRF-Token; null for a token")


class Start(Out):
    set_up: bool = Field(description="whether there is a user; else the link that the studio printed makes the first")


SIGNED_IN = {200: Answer("Signed in; the session's cookies are set.", (Content(JSON, Me, example=SIGNED_IN_EXAMPLE),))}


@account.get("/start")
@public
@described(Group.ACCOUNT, "Is there anybody yet?", example={"set_up": True})
def start() -> Start:
    """What a page asks before it shows the form of the first start or the one to sign in."""
    with context().database.reading() as connection:
        return Start(set_up=not there_is_none(connection))


@account.post("/setup")
@public
@described(
    Group.ACCOUNT, "Set the studio up",
    body=body(SetUp, {"secret": "...", "email": "ada@example.org", "password": "...", "name": "Ada"}),
    answers=SIGNED_IN, problems=(*BODY, "LINK_INVALID", "PASSWORD_WEAK", "VALUE_INVALID", "EMAIL_TAKEN"),
)  # fmt: skip
def set_up() -> Response:
    """Make the first user, an admin, with the link that the studio printed at its start."""
    given, parts, now = read_model(SetUp), context(), context().now()
    with parts.database.reading() as connection:  # before anything is hashed, which is dear
        check_setup_secret(connection, given.secret, now)
    hashed = hash_password(given.password)
    with parts.database.writing() as connection:
        use_setup_secret(connection, given.secret, now)
        user = add_user(connection, given.email, given.name, InstallRole.ADMIN, hashed, now)
        audit.record(connection, _as(user.id), "studio.set_up", user.email)
        return _sign_in(connection, user)


@account.post("/password/link")
@public
@described(
    Group.ACCOUNT, "Whom is a link for?", body=body(LinkSecret, {"secret": "..."}),
    example={"email": "ada@example.org", "name": "Ada", "has_password": False}, problems=(*BODY, "LINK_INVALID"),
)  # fmt: skip
def look_at_link() -> LinkOwner:
    """What a page says before a password is chosen; the link goes on working."""
    given, parts = read_model(LinkSecret), context()
    with parts.database.reading() as connection:
        user = user_of_password_secret(connection, given.secret, parts.now())
    return LinkOwner(email=user.email, name=user.name, has_password=user.password_hash is not None)


@account.post("/password")
@public
@described(
    Group.ACCOUNT, "Choose a password by a link",
    body=body(ChosenPassword, {"secret": "...", "password": "..."}),
    answers=SIGNED_IN, problems=(*BODY, "LINK_INVALID", "PASSWORD_WEAK"),
)  # fmt: skip
def choose_password() -> Response:
    """Use the one-time link of an invitation or a new password. All sessions of the user end, and one begins."""
    given, parts = read_model(ChosenPassword), context()
    with parts.database.reading() as connection:  # before anything is hashed, which is dear
        user_of_password_secret(connection, given.secret, parts.now())
    hashed = hash_password(given.password)
    with parts.database.writing() as connection:
        user = use_password_secret(connection, given.secret, parts.now())
        _set_password(connection, user.id, hashed)
        close_sessions_of(connection, user.id)
        audit.record(connection, _as(user.id), "password.chosen", user.email)
        return _sign_in(connection, user)


@account.post("/session")
@public
@described(
    Group.ACCOUNT, "Sign in", body=body(SignIn, {"email": "ada@example.org", "password": "..."}),
    answers=SIGNED_IN, problems=(*BODY, "PASSWORD_WRONG", "TRY_LATER"),
)  # fmt: skip
def sign_in() -> Response:
    """With e-mail address and password. Ten wrong ones from one place within ten minutes, and it has to wait."""
    given, parts, who = read_model(SignIn), context(), actor()
    email = given.email.lower()
    with parts.database.reading() as connection:
        _require_few_wrong_passwords(connection, who, email)
        user = find_by_email(connection, email)
    right = verify_password(None if user is None or user.disabled else user.password_hash, given.password)
    hashed = hash_password(given.password) if right and user is not None and is_outdated(user.password_hash) else None
    with parts.database.writing() as connection:
        if right and user is not None:
            if hashed is not None:
                _set_password(connection, user.id, hashed)
            audit.record(connection, _as(user.id), "session.opened", email)
            return _sign_in(connection, user)
        audit.record(connection, who, "session.refused", email)
    raise Unauthorised("E-mail address and password do not go together.", "PASSWORD_WRONG")


@account.get("/session")
@signed_in
@described(Group.ACCOUNT, "Who am I?", example=SIGNED_IN_EXAMPLE)
def who_am_i() -> Me:
    """The user of the session or the token."""
    return _me(principal())


@account.delete("/session")
@by_session
@described(Group.ACCOUNT, "Sign out", answers=DONE)
def sign_out() -> Response:
    """The session ends, and its cookies go."""
    parts, who = context(), principal()
    assert who.session_id is not None
    with parts.database.writing() as connection:
        close_session(connection, who.session_id)
        audit.record(connection, actor(), "session.closed", who.email)
    return clear_session(Response(status=204), parts)


@account.patch("/account")
@by_session
@described(Group.ACCOUNT, "Change my name", body=body(ChangedAccount, {"name": "Ada L."}), problems=BODY)
def change_account() -> Me:
    """What others see of one."""
    given, who = read_model(ChangedAccount), principal()
    with context().database.writing() as connection:
        change_user(connection, find_user(connection, who.public_id), name=given.name)
    return _me(replace(who, name=given.name))


@account.put("/account/password")
@by_session
@described(
    Group.ACCOUNT, "Change my password", body=body(ChangedPassword, {"old_password": "...", "password": "..."}),
    answers=DONE, problems=(*BODY, "PASSWORD_WEAK", "PASSWORD_WRONG", "TRY_LATER"),
)  # fmt: skip
def change_password() -> Response:
    """All other sessions of the user end."""
    given, parts, who = read_model(ChangedPassword), context(), principal()
    with parts.database.reading() as connection:
        _require_few_wrong_passwords(connection, actor(), who.email)
        user = find_user(connection, who.public_id)
    if not verify_password(user.password_hash, given.old_password):
        with parts.database.writing() as connection:
            audit.record(connection, actor(), "session.refused", who.email)
        raise Unauthorised("The old password is another one.", "PASSWORD_WRONG")
    hashed = hash_password(given.password)
    with parts.database.writing() as connection:
        _set_password(connection, user.id, hashed)
        close_sessions_of(connection, user.id, but=who.session_id)
        audit.record(connection, actor(), "password.changed", who.email)
    return Response(status=204)


def _require_few_wrong_passwords(connection: Connection, who: Actor, email: str) -> None:
    """Raises Problem where so many came, of late, for this user."""
    since = who.at - WRONG_PASSWORDS_WITHIN
    from_here = audit.count_since(connection, "session.refused", email, since, who.address)
    from_anywhere = audit.count_since(connection, "session.refused", email, since)
    if from_here >= WRONG_PASSWORDS or from_anywhere >= WRONG_PASSWORDS_ANYWHERE:
        raise Problem(
            429, "TRY_LATER", "Too many wrong passwords for this address. Try again later.",
            {"Retry-After": str(int(WRONG_PASSWORDS_WITHIN.total_seconds()))},
        )  # fmt: skip


def _set_password(connection: Connection, user_id: int, hashed: str) -> None:
    connection.execute(update(users).where(users.c.id == user_id).values(password_hash=hashed))


def _as(user_id: int) -> Actor:
    """Who asks, once it is known who that is."""
    who = actor()
    return Actor(user_id, who.address, who.request_id, who.at)


def _sign_in(connection: Connection, user: Row[Any]) -> Response:
    parts = context()
    session_id = open_session(connection, user.id, parts.now(), parts.session_lifetime)
    who = Principal(user.id, user.public_id, user.email, user.name, InstallRole(user.role), session_id)
    return set_session(jsonify(_me(who).model_dump(mode="json")), parts, session_id)


def _me(who: Principal) -> Me:
    return Me(
        id=who.public_id,
        email=who.email,
        name=who.name,
        role=who.role,
        privileges=sorted(who.install_privileges),
        scopes=None if who.scopes is None else list(who.scopes),
        csrf_token=None if who.session_id is None else csrf_of(who.session_id),
    )
