"""Bring the database to the tables that this version of Onsight knows. Safe to run from many processes at once.

In this order: take the lock (a file beside SQLite, an advisory lock in PostgreSQL), see how far the database is, run
what is missing, each migration in a transaction. A database from a later version is refused, never changed.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from studio.database.engine import Database
from studio.errors import StudioSetupError

_LOCK_NUMBER = 0x6F6E7369  # "onsi"


def migrate(database: Database) -> tuple[str | None, str]:
    """Returns the revisions before and after; None before where the database was empty.

    Raises StudioSetupError where the database does not answer, or comes from a later version.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    script = ScriptDirectory.from_config(config)
    known = {revision.revision for revision in script.walk_revisions()}
    head = script.get_current_head()
    assert head is not None
    try:
        with _locked(database), database.engine.connect() as connection:
            before = MigrationContext.configure(connection).get_current_revision()
            connection.rollback()
            if before is not None and before not in known:
                raise StudioSetupError(
                    f"database: expected one of this version or an earlier one, found revision {before}, which this"
                    " version does not know. Install the newer Onsight again, or restore the backup of before it."
                )
            if before != head:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                connection.commit()
        return before, head
    except OperationalError as error:
        raise StudioSetupError(
            f"database {database.engine.url.render_as_string(hide_password=True)}: expected one that answers, found:"
            f" {str(error.orig).strip()[:300]}. Check ONSIGHT_DATABASE_URL."
        ) from error


@contextmanager
def _locked(database: Database) -> Iterator[None]:
    if database.is_sqlite:
        path = Path(database.engine.url.database or "")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.with_name(f".{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        return
    with database.engine.connect() as connection:  # of its own: the lock is the connection's
        _advisory(connection, "pg_advisory_lock")
        try:
            yield
        finally:
            _advisory(connection, "pg_advisory_unlock")


def _advisory(connection: Connection, function: str) -> None:
    connection.execute(text(f"SELECT {function}({_LOCK_NUMBER})"))
    connection.commit()
