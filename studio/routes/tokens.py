"""One's own API tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from flask import Response
from pydantic import Field
from sqlalchemy import Row

from server.openapi.describe import described
from studio.access import audit
from studio.access.guard import actor, by_session, principal
from studio.access.privileges import Scope
from studio.access.tokens import add_token, list_tokens, revoke_token
from studio.context import context
from studio.projects.store import find_project
from studio.routes.groups import Group
from studio.routes.problems import BODY
from studio.routes.routes import Routes
from studio.routes.wire import DONE, In, Moment, Name, Out, PublicId, body, created, read_model

tokens = Routes("tokens", __name__, url_prefix="/studio/v1/tokens")

TOKEN_EXAMPLE: Any = {
    "id": "h4sTqXv9b2c", "name": "laptop", "scopes": ["read"], "project": None, "last_characters": "x9Qw",
    "created_at": "2026-03-01T12:00:00Z", "used_at": None, "expires_at": None,
}  # fmt: skip


class NewToken(In):
    name: Annotated[Name, Field(max_length=100)]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))]
    project: PublicId | None = Field(default=None, description="the one project that it opens; else all of the user's")
    days: Annotated[int, Field(ge=1, le=3650)] | None = Field(default=None, description="that it works; else for good")


class Token(Out):
    id: PublicId
    name: str
    scopes: list[Scope]
    project: PublicId | None
    last_characters: str = Field(description="to recognise it by")
    created_at: Moment
    used_at: Moment | None = Field(description="to ten minutes")
    expires_at: Moment | None


class ShownToken(Out):
    token: str = Field(description="the token itself: this once")
    details: Token


class Tokens(Out):
    tokens: list[Token]


@tokens.get("")
@by_session
@described(Group.TOKENS, "My tokens", example={"tokens": [TOKEN_EXAMPLE]})
def mine() -> Tokens:
    """Oldest first; never the tokens themselves."""
    with context().database.reading() as connection:
        return Tokens(tokens=[_token(row, row.project) for row in list_tokens(connection, principal().user_id)])


@tokens.post("")
@by_session
@described(
    Group.TOKENS, "Make a token", body=body(NewToken, {"name": "laptop", "scopes": ["read", "label"]}),
    answers=created(ShownToken, "The token, this once.", {"token": "onsight_...", "details": TOKEN_EXAMPLE}),
    problems=(*BODY, "PROJECT_NOT_FOUND"),
)  # fmt: skip
def make() -> tuple[ShownToken, int]:
    """It may do what its scopes name, and never more than its user."""
    given, parts, who = read_model(NewToken), context(), principal()
    now = parts.now()
    with parts.database.writing() as connection:
        project_id = find_project(connection, given.project, who).id if given.project else None
        expires_at = None if given.days is None else now + timedelta(days=given.days)
        token, row = add_token(
            connection, who.user_id, given.name, given.scopes, now, project_id=project_id, expires_at=expires_at
        )
        audit.record(
            connection, actor(), "token.made", given.name, project_id=project_id, details={"scopes": row.scopes}
        )
    return ShownToken(token=token, details=_token(row, given.project)), 201


@tokens.delete("/<token>")
@by_session
@described(Group.TOKENS, "Revoke a token", answers=DONE)
def revoke(token: str) -> Response:
    """It stops working at once."""
    with context().database.writing() as connection:
        name = revoke_token(connection, principal().user_id, token)
        audit.record(connection, actor(), "token.revoked", name)
    return Response(status=204)


def _token(row: Row[Any], project: str | None) -> Token:
    return Token(
        id=row.public_id,
        name=row.name,
        scopes=[Scope(scope) for scope in row.scopes],
        project=project,
        last_characters=row.last_characters,
        created_at=row.created_at,
        used_at=row.used_at,
        expires_at=row.expires_at,
    )
