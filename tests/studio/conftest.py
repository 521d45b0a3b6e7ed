"""Fixtures of the studio's tests: databases of both kinds, migrated once and copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import PostgresServer, open_database, running_postgres
from studio_rig import Clock, Rig, Workplace

from studio.context import StudioContext
from studio.database.engine import Database
from studio.database.migrate import migrate
from studio.database.tables import metadata
from studio.images.blobs import open_blobs
from studio.settings import StudioSettings


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "studio.sqlite3"
    database = Database(f"sqlite:///{path}")
    migrate(database)
    database.close()  # the last connection empties the write-ahead log into the file
    return path


@pytest.fixture(scope="session")
def postgres_migrated(postgres: PostgresServer) -> str:
    url = postgres.url(postgres.new_database())
    database = open_database(url)
    migrate(database)
    database.close()
    return url


@pytest.fixture
def postgres_url(postgres_migrated: str) -> Iterator[str]:
    """One database for all tests, emptied after each: making a new one takes longer than most tests."""
    yield postgres_migrated
    database = open_database(postgres_migrated)
    with database.writing() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    database.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def empty_database_url(database_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a database without a table."""
    if database_kind == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.sqlite3'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.url(server.new_database())


@pytest.fixture
def database_url(database_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a database with all tables and no row."""
    if database_kind == "sqlite":
        path = tmp_path / "studio.sqlite3"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = open_database(database_url)
    yield database
    database.close()


@pytest.fixture
def rig(database: Database, tmp_path: Path) -> Rig:
    """A studio without a user."""
    settings = StudioSettings(home=tmp_path / "home", index_images=False)
    settings.incoming_folder.mkdir(parents=True)
    clock = Clock()
    return Rig(StudioContext(settings, database, *open_blobs(None, settings.folder), now=clock), clock)


@pytest.fixture
def work(rig: Rig) -> Workplace:
    return rig.workplace()
