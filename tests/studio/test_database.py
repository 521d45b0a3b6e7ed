"""The database: migrations make the tables that the code knows, under a lock; writes wait their turn."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from postgres_server import open_database
from sqlalchemy import func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from studio.database.engine import Database
from studio.database.migrate import migrate
from studio.database.tables import metadata, projects
from studio.errors import StudioSetupError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def empty(empty_database_url: str) -> Iterator[Database]:
    database = open_database(empty_database_url)
    yield database
    database.close()


def test_migrations_make_exactly_the_tables_that_the_code_knows(empty: Database) -> None:
    before, after = migrate(empty)
    assert before is None
    with empty.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    assert migrate(empty) == (after, after)


def test_many_processes_that_start_at_once_migrate_once(empty: Database) -> None:
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda _: migrate(empty), range(6)))
    assert [before for before, _ in results].count(None) == 1


def test_a_database_of_a_later_version_is_refused_and_left_alone(empty: Database) -> None:
    migrate(empty)
    with empty.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StudioSetupError, match="revision 9999"):
        migrate(empty)
    with empty.reading() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "9999"


@pytest.mark.parametrize(
    ("url", "match"),
    [("mysql://x/y", "expected sqlite or postgresql"), ("no address", "expected an address"),
     ("sqlite://", "path of a file"), ("postgresql+psycopg://nobody@/x?host=/nowhere", "expected one that answers")],
)  # fmt: skip
def test_a_database_that_cannot_be_is_refused_with_a_remedy(url: str, match: str) -> None:
    with pytest.raises(StudioSetupError, match=match):
        migrate(Database(url))


def test_a_password_in_the_address_is_never_told() -> None:
    with pytest.raises(StudioSetupError) as refused:
        migrate(Database("postgresql+psycopg://user:hunter2@127.0.0.1:1/x"))
    assert "hunter2" not in str(refused.value)


def test_a_block_that_raises_leaves_nothing(database: Database) -> None:
    def write_twice() -> None:
        with database.writing() as connection:
            connection.execute(insert(projects).values(name="gone", created_at=NOON, id=1))
            connection.execute(insert(projects).values(name="again", created_at=NOON, id=1))

    with pytest.raises(IntegrityError):
        write_twice()
    with database.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(projects)) == 0


def test_a_moment_comes_back_as_it_went_in_and_needs_a_zone(database: Database) -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=-7)))
    with database.writing() as connection:
        connection.execute(insert(projects).values(name="p", created_at=elsewhere))
    with database.reading() as connection:
        found = connection.scalar(select(projects.c.created_at))
    assert found == NOON
    assert found is not None
    assert found.tzinfo is UTC or found.utcoffset() == timedelta(0)
    with pytest.raises(Exception, match="aware datetime"), database.writing() as connection:
        connection.execute(insert(projects).values(name="p", created_at=NOON.replace(tzinfo=None)))


def test_writers_that_count_up_at_once_lose_nothing(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(insert(projects).values(name="0", created_at=NOON))
    barrier = threading.Barrier(4)

    def count(_: int) -> None:
        barrier.wait()
        for _ in range(10):
            with database.writing() as connection:
                now = int(connection.scalar(select(projects.c.name).with_for_update()) or "")
                connection.execute(update(projects).values(name=str(now + 1)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(4)))
    with database.reading() as connection:
        assert connection.scalar(select(projects.c.name)) == "40"


def test_sqlite_is_durable_and_checks_its_references(sqlite_template: object) -> None:
    database = Database(f"sqlite:///{sqlite_template}")
    with database.reading() as connection:
        asked = ("journal_mode", "synchronous", "foreign_keys")
        values = [connection.scalar(text(f"PRAGMA {name}")) for name in asked]
    database.close()
    assert values == ["wal", 2, 1]  # 2: FULL


def test_a_member_of_no_project_cannot_be(database: Database) -> None:
    statement = "INSERT INTO members (project_id, user_id, role, privileges, created_at)"
    with pytest.raises(IntegrityError), database.writing() as connection:
        connection.execute(text(f"{statement} VALUES (7, 7, 'viewer', '[]', '2026-01-01 00:00:00')"))
