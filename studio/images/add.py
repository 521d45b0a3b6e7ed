"""Give images that were looked at their rows: one transaction for a batch, with labels, duplicates and taken names.

In this order: no file may be removed any more, the project is locked, known digests are found, files that vanished
meanwhile are put back, rows are written, labels are put on new and known images alike. What is not committed was never
acknowledged to anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import Connection, insert, select

from studio.database.metadata import new_public_id
from studio.database.tables import images
from studio.images.blobs import Blobs
from studio.images.orphans import keep_files
from studio.images.thumbnails import Look
from studio.labels.events import Event, Kind
from studio.labels.id_sets import one_of
from studio.labels.vocabulary import ensure_labels
from studio.projects.store import lock_project

MOST_NAME_CHARACTERS = 500
MOST_SUFFIX_CHARACTERS = 20


@dataclass(frozen=True, slots=True)
class Ready:
    """An image whose file and thumbnail are kept. look: None where its digest was known before.  labels: names."""

    name: str
    sha256: str
    data: bytes
    look: Look | None
    labels: tuple[str, ...] = ()


@dataclass(slots=True)
class Labelled:
    """The event of an upload's labels, which its batches write together: one undo takes all of them back."""

    event_id: int | None = None


@dataclass(frozen=True, slots=True)
class Added:
    """public_id, name: of the row; the name may have a number that the upload's had not.  is_new: else a duplicate."""

    public_id: str
    name: str
    is_new: bool


def add_images(
    connection: Connection,
    originals: Blobs,
    project_id: int,
    user_id: int,
    batch: Sequence[Ready],
    now: datetime,
    *,
    look_again: Callable[[Ready], Look],
    labelled: Labelled,
    gone: Collection[str] = (),
    validation: bool = False,
    rename: bool = True,
) -> list[Added | None]:
    """One result for each, in their order; None where the name is taken and may not get a number (`rename`).

    A digest that the project has is a duplicate, whatever its name; its labels are put on the image that is there.
    labelled: of the upload that the batch is part of.
    look_again: for an image that was known and is gone by now.  gone: digests whose files were when they were synced.
    validation: of new images; those that are there keep what they have.
    """
    keep_files(connection)
    lock_project(connection, project_id)
    known = _known(connection, project_id, [ready.sha256 for ready in batch])
    taken = _taken(connection, project_id, [ready.name for ready in batch])
    rows: list[dict[str, Any]] = []
    results: list[Added | None] = []
    added_here: dict[str, Added] = {}
    for ready in batch:
        there = known.get(ready.sha256)
        if there is not None:
            results.append(Added(there[1], there[2], is_new=False))
            continue
        if ready.sha256 in added_here:
            first = added_here[ready.sha256]
            results.append(Added(first.public_id, first.name, is_new=False))
            continue
        name = ready.name
        if name in taken:
            if not rename:
                results.append(None)
                continue
            name = _free_name(connection, project_id, name, taken)
        taken.add(name)
        look = ready.look or look_again(ready)
        # Somebody may have removed the last image of this file just now.
        if ready.sha256 in gone or not originals.has(ready.sha256):
            originals.put(ready.sha256, ready.data)
            originals.sync([ready.sha256])
        added = Added(new_public_id(), name, is_new=True)
        rows.append(_row(ready, look, added, project_id, user_id, now) | {"validation": validation})
        added_here[ready.sha256] = added
        results.append(added)
    ids: dict[str, int] = {sha256: image_id for sha256, (image_id, _, _) in known.items()}
    if rows:
        written = connection.execute(insert(images).returning(images.c.sha256, images.c.id), rows)
        ids |= {row.sha256: row.id for row in written}
    _put_labels(connection, project_id, user_id, batch, ids, now, labelled)
    return results


def known_digests(connection: Connection, project_id: int, digests: Sequence[str]) -> set[str]:
    """Those of these digests whose images the project has."""
    return set(_known(connection, project_id, digests))


def _known(connection: Connection, project_id: int, digests: Sequence[str]) -> dict[str, tuple[int, str, str]]:
    """sha256 -> (id, public id, name)."""
    own = (images.c.project_id == project_id) & one_of(connection, images.c.sha256, digests)
    statement = select(images.c.sha256, images.c.id, images.c.public_id, images.c.name).where(own)
    return {row.sha256: (row.id, row.public_id, row.name) for row in connection.execute(statement)}


def _taken(connection: Connection, project_id: int, names: Sequence[str]) -> set[str]:
    own = (images.c.project_id == project_id) & one_of(connection, images.c.name, names)
    return set(connection.scalars(select(images.c.name).where(own)))


def _free_name(connection: Connection, project_id: int, name: str, taken: set[str]) -> str:
    """`cats/1.jpg` -> `cats/1 (2).jpg`, or a higher number, in a few queries: a camera may send one name for years."""

    def is_free(number: int) -> bool:
        candidate = numbered(name, number)
        return candidate not in taken and not _taken(connection, project_id, [candidate])

    last_taken, free = 1, 2
    while not is_free(free):
        last_taken, free = free, 2 * free
    while free - last_taken > 1:
        middle = (last_taken + free) // 2
        last_taken, free = (last_taken, middle) if is_free(middle) else (middle, free)
    return numbered(name, free)


def numbered(name: str, number: int) -> str:
    """The name with a number before its suffix, cut where it would be too long; never longer than a name may be."""
    path = PurePosixPath(name)
    suffix = path.suffix if len(path.suffix) <= MOST_SUFFIX_CHARACTERS else ""
    end = f" ({number}){suffix}"
    return name.removesuffix(suffix)[: MOST_NAME_CHARACTERS - len(end)] + end


def _row(ready: Ready, look: Look, added: Added, project_id: int, user_id: int, now: datetime) -> dict[str, Any]:
    return {
        "public_id": added.public_id,
        "project_id": project_id,
        "name": added.name,
        "sha256": ready.sha256,
        "bytes": len(ready.data),
        "width": look.width,
        "height": look.height,
        "format": look.format.value,
        "uploaded_by": user_id,
        "created_at": now,
        "label_count": 0,
    }


def _put_labels(
    connection: Connection,
    project_id: int,
    user_id: int,
    batch: Sequence[Ready],
    ids: dict[str, int],
    now: datetime,
    labelled: Labelled,
) -> None:
    by_label: dict[str, set[int]] = {}
    for ready in batch:
        for label in ready.labels:
            if ready.sha256 in ids:
                by_label.setdefault(label, set()).add(ids[ready.sha256])
    if not by_label:
        return
    label_ids = ensure_labels(connection, project_id, list(by_label), now)
    event = Event(connection, project_id, user_id, Kind.UPLOAD, now, continues_id=labelled.event_id)
    for label, image_ids in by_label.items():
        event.add_label(label_ids[label], image_ids)
    if event.finish():
        labelled.event_id = event.id
