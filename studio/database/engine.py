"""Open the database, read and write it in transactions. SQLite and PostgreSQL alike; the URL decides.

A write is durable when its block has ended: SQLite runs in WAL with synchronous=FULL, PostgreSQL with its defaults.
SQLite lets one writer in at a time, who waits for the others at BEGIN and not in the middle of its work; PostgreSQL's
writers lock the rows that they count on (`studio.projects.store.lock_project`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from studio.errors import StudioSetupError

BUSY_TIMEOUT_S = 60
_SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    f"PRAGMA busy_timeout={BUSY_TIMEOUT_S * 1000}",
    "PRAGMA cache_size=-65536",  # KiB: an index of a hundred thousand images fits
)
_WRITES = "onsight_writes"


class Database:
    """One database, for all threads of a process. Opens no connection before it is asked for one."""

    def __init__(self, url: str, threads: int = 16) -> None:
        """url: of SQLAlchemy.  threads: that may use it at once. Raises StudioSetupError for a URL that cannot be."""
        self.engine = _make_engine(url, threads)
        self.is_sqlite = self.engine.dialect.name == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view of the database where it is SQLite; nothing is kept."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction: committed when the block ends well, rolled back when it raises."""
        with self.engine.connect().execution_options(**{_WRITES: True}) as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Close all connections; call in a process that forks, before it does."""
        self.engine.dispose()


def _make_engine(url: str, threads: int) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StudioSetupError(
            "ONSIGHT_DATABASE_URL: expected an address such as postgresql://user:password@host/name, found something"
            " else."
        ) from error
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise StudioSetupError(
            f"ONSIGHT_DATABASE_URL: expected sqlite or postgresql, found {parsed.get_backend_name()!r}."
        )
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise StudioSetupError("ONSIGHT_DATABASE_URL: expected the path of a file for SQLite, found none.")
    # A view reads within a write now and then, so there are more connections than threads.
    options: dict[str, Any] = {"pool_size": threads, "max_overflow": threads}
    try:
        if parsed.get_backend_name() == "sqlite":
            engine = create_engine(parsed, **options)
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        return create_engine(parsed, pool_pre_ping=True, **options)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise StudioSetupError(
            "ONSIGHT_DATABASE_URL: PostgreSQL needs the package psycopg. Install Onsight's extra 'postgres':"
            " pip install 'onsight[postgres]'"
        ) from error


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # BEGIN is ours to say: Python's own comes late and never IMMEDIATE
    for pragma in _SQLITE_PRAGMAS:
        connection.execute(pragma).close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
