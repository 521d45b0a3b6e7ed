"""Remove files that no image of any project needs any more.

Whoever adds images looks, within the transaction that adds their rows, that the files are there (`studio.images.add`);
whoever removes files asks, within a transaction that excludes those, that no row needs them. So no file goes between
somebody's look and their row. SQLite has one writer at a time; in PostgreSQL a lock shared by those who add does it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import Connection, select, text

from studio.database.engine import Database
from studio.database.tables import images
from studio.images.blobs import Blobs

AT_ONCE = 500
_LOCK_NUMBER = 0x626C6F62  # "blob"


def keep_files(connection: Connection) -> None:
    """No file is removed until the transaction ends. Call before looking whether one is there."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock_shared({_LOCK_NUMBER})"))


def remove_unneeded(database: Database, stores: Sequence[Blobs], digests: Iterable[str]) -> int:
    """Of these digests, remove the files that no row needs. Returns how many were nobody's."""
    removed = 0
    for some in _in_groups(digests):
        with database.writing() as connection:
            if not database.is_sqlite:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK_NUMBER})"))
            needed = set(connection.scalars(select(images.c.sha256).where(images.c.sha256.in_(some))))
            unneeded = sorted(set(some) - needed)
            for store in stores:
                store.remove_all(unneeded)
            removed += len(unneeded)
    return removed


def sweep(database: Database, stores: Sequence[Blobs]) -> int:
    """Remove what a crash left behind: files whose rows were never written, or are gone. Returns how many images.

    And files that were never written to their end, which are no image's.
    """
    for store in stores:
        store.remove_unfinished()
    found = {digest for store in stores for digest in store.digests()}
    return remove_unneeded(database, stores, sorted(found))


def _in_groups(digests: Iterable[str]) -> Iterator[list[str]]:
    group: list[str] = []
    for digest in digests:
        group.append(digest)
        if len(group) == AT_ONCE:
            yield group
            group = []
    if group:
        yield group
