"""A studio in this process, on a real database and a real folder, and people who ask it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from studio.access.privileges import InstallRole, Privilege, ProjectRole, Scope
from studio.access.secrets import csrf_of
from studio.access.sessions import open_session
from studio.access.tokens import add_token
from studio.access.users import add_user, find_by_email
from studio.app import create_app
from studio.context import StudioContext
from studio.projects.members import share
from studio.projects.store import add_project

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Clock:
    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **time: float) -> None:
        self.now += timedelta(**time)


@dataclass
class Caller:
    """Somebody who asks: with the cookies of a session, with a token, or as nobody."""

    client: FlaskClient
    headers: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, **options: Any) -> TestResponse:
        headers = {**self.headers, **options.pop("headers", {})}
        return self.client.open(path, method=method, headers=headers, **options)

    def get(self, path: str, **options: Any) -> Any:
        """The JSON of an answer that is 200."""
        return self._json("GET", path, 200, options)

    def post(self, path: str, json: object = None, status: int = 200, **options: Any) -> Any:
        return self._json("POST", path, status, {"json": json, **options} if json is not None else options)

    def put(self, path: str, json: object, status: int = 200) -> Any:
        return self._json("PUT", path, status, {"json": json})

    def patch(self, path: str, json: object, status: int = 200) -> Any:
        return self._json("PATCH", path, status, {"json": json})

    def delete(self, path: str, status: int = 204) -> Any:
        return self._json("DELETE", path, status, {})

    def refused(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        """The status of an answer that is a problem, and its code."""
        answer = self.ask(method, path, **options)
        assert answer.content_type == "application/problem+json", (answer.status, answer.data[:300])
        return answer.status_code, answer.json["code"]  # type: ignore[index]

    def _json(self, method: str, path: str, status: int, options: dict[str, Any]) -> Any:
        answer = self.ask(method, path, **options)
        assert answer.status_code == status, (answer.status, answer.data[:600])
        return answer.json if answer.data else None


@dataclass
class Rig:
    parts: StudioContext
    clock: Clock
    app: Flask = field(init=False)

    def __post_init__(self) -> None:
        self.app = create_app(self.parts)
        self.app.testing = False  # errors become answers, as they do for everybody

    def nobody(self) -> Caller:
        return Caller(self.app.test_client())

    def add_user(self, name: str, role: InstallRole = InstallRole.MEMBER) -> int:
        with self.parts.database.writing() as connection:
            return int(add_user(connection, f"{name}@example.org", name, role, None, self.clock()).id)

    def signed_in(self, name: str) -> Caller:
        """By a new session of a user that there is."""
        with self.parts.database.writing() as connection:
            session_id = open_session(connection, self.user_id(name), self.clock(), self.parts.session_lifetime)
        client = self.app.test_client()
        client.set_cookie("onsight_session", session_id)
        return Caller(client, {"X-CSRF-Token": csrf_of(session_id)})

    def user_id(self, name: str) -> int:
        with self.parts.database.reading() as connection:
            found = find_by_email(connection, f"{name}@example.org")
        assert found is not None
        return int(found.id)

    def somebody(self, name: str, role: InstallRole = InstallRole.MEMBER) -> Caller:
        self.add_user(name, role)
        return self.signed_in(name)

    def by_token(self, name: str, *scopes: Scope, project_id: int | None = None) -> Caller:
        with self.parts.database.writing() as connection:
            token, _ = add_token(connection, self.user_id(name), "test", scopes, self.clock(), project_id=project_id)
        return Caller(self.app.test_client(), {"X-Auth-token": token})

    def add_project(self, owner: str, name: str = "p") -> tuple[int, str]:
        """Id and public id."""
        with self.parts.database.writing() as connection:
            row = add_project(connection, name, self.user_id(owner), self.clock())
        return int(row.id), str(row.public_id)

    def share(self, project_id: int, name: str, role: ProjectRole, further: Collection[Privilege] = ()) -> None:
        with self.parts.database.writing() as connection:
            share(connection, project_id, self.user_id(name), role, further, self.clock())
