"""Take images in: from a request's files or from an archive, with a report of every one.

Several threads hash, look at and keep the files, in order; rows are written batch by batch. A report that came out
is durable: file and row were synced before. Known digests are neither decoded nor kept again, so that sending
everything once more after an interruption costs little.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from bundle.cores import usable_cores
from bundle.errors import ImageError
from bundle.in_order import in_order
from studio.context import StudioContext
from studio.errors import Invalid
from studio.images.add import Added, Labelled, Ready, add_images, known_digests
from studio.images.archives import Entry
from studio.images.thumbnails import Look, look_at
from studio.jobs.queue import add_features
from studio.labels.vocabulary import normal_name

BATCH_IMAGES: Final = 64
BATCH_BYTES: Final = 64 * 1024**2
BATCH_S: Final = 0.5  # a slow source reports at least so often
THREADS_PER_CORE: Final = 2  # one computes while another waits for the disk
AHEAD: Final = 2  # files in memory for each thread
Outcome = Literal["added", "duplicate", "refused"]


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of one file. image: public id.  code, detail: why it was refused, else empty."""

    name: str
    outcome: Outcome
    image: str | None = None
    stored_name: str | None = None
    sha256: str | None = None
    code: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Intake:
    """One upload. labels: names, put on every image.  from_folders: the name of an image's folder is a label too.

    validation: flag new images for validation.  rename: give an image whose name is taken a number; else it is refused.
    """

    parts: StudioContext
    project_id: int
    user_id: int
    labels: tuple[str, ...] = ()
    from_folders: bool = False
    validation: bool = False
    rename: bool = True

    def take(self, entries: Iterable[Entry]) -> Iterator[FileReport]:
        """A report for each entry, in order. Entries are read only as reports are taken."""
        batch: list[Ready | FileReport] = []
        labelled = Labelled()
        held_bytes, since = 0, time.monotonic()
        threads = THREADS_PER_CORE * usable_cores()
        prepared = in_order(self._prepare, entries, threads, "onsight-intake", ahead=AHEAD)
        try:
            for one in prepared:
                batch.append(one)
                held_bytes += len(one.data) if isinstance(one, Ready) else 0
                late = time.monotonic() - since > BATCH_S
                if len(batch) >= BATCH_IMAGES or held_bytes >= BATCH_BYTES or late:
                    yield from self._write(batch, labelled)
                    batch, held_bytes, since = [], 0, time.monotonic()
            yield from self._write(batch, labelled)
        finally:
            prepared.close()

    def _prepare(self, entry: Entry) -> Ready | FileReport:
        """In a thread: hash, look, keep."""
        if entry.data is None:
            return FileReport(entry.name, "refused", code=entry.code, detail=entry.detail)
        digest = hashlib.sha256(entry.data).hexdigest()
        try:
            ready = Ready(entry.name, digest, entry.data, None, self._labels_of(entry.name))
            return ready if self._is_known(digest) else replace(ready, look=self._look_and_keep(ready))
        except (ImageError, Invalid) as error:
            return FileReport(entry.name, "refused", sha256=digest, code=error.code, detail=str(error))

    def _is_known(self, digest: str) -> bool:
        if not self.parts.originals.has(digest):  # as for most: no need to ask the database
            return False
        with self.parts.database.reading() as connection:
            return bool(known_digests(connection, self.project_id, [digest]))

    def _look_and_keep(self, ready: Ready) -> Look:
        look = look_at(ready.data, self.parts.settings.image_limits)
        self.parts.thumbnails.put(ready.sha256, look.thumbnail)
        self.parts.originals.put(ready.sha256, ready.data)
        return look

    def _labels_of(self, name: str) -> tuple[str, ...]:
        folders = name.split("/")[:-1]
        own = (normal_name(folders[-1]),) if self.from_folders and folders else ()
        return tuple(dict.fromkeys((*self.labels, *own)))

    def _write(self, batch: list[Ready | FileReport], labelled: Labelled) -> Iterator[FileReport]:
        ready = [one for one in batch if isinstance(one, Ready)]
        added: list[Added | None] = []
        if ready:
            gone = self.parts.originals.sync({one.sha256 for one in ready if one.look is not None})
            with self.parts.database.writing() as connection:
                added = add_images(
                    connection,
                    self.parts.originals,
                    self.project_id,
                    self.user_id,
                    ready,
                    self.parts.now(),
                    look_again=self._look_and_keep,
                    labelled=labelled,
                    gone=gone,
                    validation=self.validation,
                    rename=self.rename,
                )
                if self.parts.settings.index_images and any(one is not None and one.is_new for one in added):
                    add_features(connection, self.project_id, self.parts.now())
        results = iter(added)
        for one in batch:
            yield one if isinstance(one, FileReport) else _report(one, next(results))


def _report(ready: Ready, added: Added | None) -> FileReport:
    if added is None:
        detail = "The project has another image of this name. Remove that first, or choose another name."
        return FileReport(ready.name, "refused", sha256=ready.sha256, code="NAME_TAKEN", detail=detail)
    outcome: Outcome = "added" if added.is_new else "duplicate"
    return FileReport(ready.name, outcome, added.public_id, added.name, ready.sha256)
