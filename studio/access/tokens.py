"""API tokens: of one user, with scopes, perhaps for one project alone. The token is shown once; its digest is kept."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from studio.access.principal import Principal
from studio.access.privileges import InstallRole, Scope
from studio.access.secrets import TOKEN_PREFIX, digest, new_secret
from studio.database.tables import api_tokens, projects, users
from studio.errors import NotFound

USED_EVERY = timedelta(minutes=10)  # a use is noted so often: each note is a write


def add_token(
    connection: Connection,
    user_id: int,
    name: str,
    scopes: Collection[Scope],
    now: datetime,
    *,
    project_id: int | None = None,
    expires_at: datetime | None = None,
) -> tuple[str, Row[Any]]:
    """The token itself, this once, and its row."""
    token = new_secret(TOKEN_PREFIX)
    row = connection.execute(
        insert(api_tokens)
        .values(
            sha256=digest(token),
            user_id=user_id,
            project_id=project_id,
            name=name,
            scopes=sorted(scope.value for scope in set(scopes)),
            last_characters=token[-4:],
            created_at=now,
            expires_at=expires_at,
        )
        .returning(api_tokens)
    ).one()
    return token, row


def list_tokens(connection: Connection, user_id: int) -> list[Row[Any]]:
    """The tokens of a user, oldest first, each with the public id of its project as `project`."""
    return list(
        connection.execute(
            select(api_tokens, projects.c.public_id.label("project"))
            .outerjoin(projects, projects.c.id == api_tokens.c.project_id)
            .where(api_tokens.c.user_id == user_id)
            .order_by(api_tokens.c.id)
        )
    )


def revoke_token(connection: Connection, user_id: int, public_id: str) -> str:
    """Forget a token of this user; it stops working at once. Returns its name."""
    gone = connection.execute(
        delete(api_tokens)
        .where(api_tokens.c.user_id == user_id, api_tokens.c.public_id == public_id)
        .returning(api_tokens.c.name)
    ).one_or_none()
    if gone is None:
        raise NotFound("There is no such token.")
    return str(gone.name)


def find_token(connection: Connection, token: str, now: datetime) -> tuple[Principal, int | None] | None:
    """Whose it is, and the id of the row where this use should be noted; None for none that works."""
    found = connection.execute(
        select(
            users,
            api_tokens.c.id.label("token_id"),
            api_tokens.c.scopes,
            api_tokens.c.project_id,
            api_tokens.c.expires_at,
            api_tokens.c.used_at,
        )
        .join(api_tokens, api_tokens.c.user_id == users.c.id)
        .where(api_tokens.c.sha256 == digest(token), users.c.disabled.is_(False))
    ).one_or_none()
    if found is None or (found.expires_at is not None and found.expires_at <= now):
        return None
    principal = Principal(
        found.id,
        found.public_id,
        found.email,
        found.name,
        InstallRole(found.role),
        scopes=tuple(found.scopes),
        token_project_id=found.project_id,
    )
    is_due = found.used_at is None or now - found.used_at >= USED_EVERY
    return principal, found.token_id if is_due else None


def note_use(connection: Connection, token_id: int, now: datetime) -> None:
    connection.execute(update(api_tokens).where(api_tokens.c.id == token_id).values(used_at=now))
