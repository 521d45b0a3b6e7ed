"""A studio in this process, on a real database and a real folder, and people who ask it."""

from __future__ import annotations

import io
import secrets
import zipfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import TestResponse

from studio.access.privileges import PROJECT_PRIVILEGES, InstallRole, Privilege, ProjectRole, Scope
from studio.access.secrets import csrf_of
from studio.access.sessions import open_session
from studio.access.tokens import add_token
from studio.access.users import add_user, find_by_email
from studio.app import create_app
from studio.context import StudioContext
from studio.projects.members import share
from studio.projects.store import add_project

V1 = "/studio/v1"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def picture(number: int, kind: str = "PNG", size: tuple[int, int] = (24, 16)) -> bytes:
    """An image file's bytes, other ones for every number."""
    stream = io.BytesIO()
    colour = (number * 37 % 256, number // 256 % 256, number % 256)
    Image.new("RGB", size, colour).save(stream, kind)
    return stream.getvalue()


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


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

    def workplace(self) -> Workplace:
        """A project of a new user, who may do everything in it."""
        name = f"owner{secrets.token_hex(3)}"
        caller = self.somebody(name)
        project_id, public_id = self.add_project(name)
        return Workplace(self, caller, name, project_id, f"{V1}/projects/{public_id}", public_id)

    def share(self, project_id: int, name: str, role: ProjectRole, further: Collection[Privilege] = ()) -> None:
        with self.parts.database.writing() as connection:
            share(connection, project_id, self.user_id(name), role, further, self.clock(), PROJECT_PRIVILEGES)


@dataclass
class Workplace:
    """A project, and somebody who works in it. path: of the project's calls."""

    rig: Rig
    caller: Caller
    owner: str
    project_id: int
    path: str
    public_id: str

    def upload(self, files: Mapping[str, bytes], query: str = "") -> dict[str, Any]:
        """As a form of files; the report."""
        form = {"file": [(io.BytesIO(data), name) for name, data in files.items()]}
        report: dict[str, Any] = self.caller.post(f"{self.path}/images{query}", data=form)
        return report

    def upload_zip(self, data: bytes, query: str = "", status: int = 200) -> dict[str, Any]:
        report: dict[str, Any] = self.caller.post(
            f"{self.path}/images{query}", status=status, data=data, content_type="application/zip"
        )
        return report

    def add_images(self, count: int, prefix: str = "") -> list[str]:
        """Public ids of new images, named 0.png, 1.png, ..."""
        report = self.upload({f"{prefix}{number}.png": picture(number) for number in range(count)})
        return [file["image"] for file in report["files"]]

    def add_labels(self, *names: str) -> list[str]:
        return [self.caller.post(f"{self.path}/labels", {"name": name}, 201)["id"] for name in names]

    def label(self, images: Sequence[str], *add: str, **more: Any) -> dict[str, Any]:
        body = {"selection": {"images": list(images)}, "add": list(add), **more}
        changed: dict[str, Any] = self.caller.post(f"{self.path}/labelling", body)
        return changed

    def undo(self) -> dict[str, Any]:
        undone: dict[str, Any] = self.caller.post(f"{self.path}/undo")
        return undone

    def grid(self, query: str = "") -> list[dict[str, Any]]:
        images: list[dict[str, Any]] = self.caller.get(f"{self.path}/images?limit=1000{query}")["images"]
        return images

    def labels_by_name(self) -> dict[str, list[str]]:
        """Of every image, by name: the names of its labels."""
        names = {label["id"]: label["name"] for label in self.caller.get(f"{self.path}/labels")["labels"]}
        return {image["name"]: [names[label] for label in image["labels"]] for image in self.grid()}

    def check_counts(self) -> dict[str, Any]:
        """The counts, after comparing them with what the grid shows."""
        counts: dict[str, Any] = self.caller.get(f"{self.path}/counts")
        sizes = [len(image["labels"]) for image in self.grid()]
        assert counts["images"] == len(sizes)
        assert (counts["unlabelled"], counts["single"]) == (sizes.count(0), sizes.count(1))
        assert counts["multi"] == sum(size > 1 for size in sizes)
        found = Counter(label for image in self.grid() for label in image["labels"])
        assert {one["label"]: one["images"] for one in counts["labels"] if one["images"]} == found
        return counts
