"""The directions of a project's images, in memory, for all threads of a process; brought up to date when asked.

What is new is read from the feature cache, what was known is kept, what was removed is forgotten. An image whose
features have not been read yet is missing, and counted.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select

from studio.database.tables import images
from trainer.data.fingerprint import FINGERPRINT_BYTES
from trainer.directions import LENGTH, directions
from trainer.feature_cache import FeatureCache
from trainer.feature_index import read_index

PROJECTS_KEPT: Final = 3  # of 100,000 images one is 170 MB
_AT_ONCE: Final = 2048


_State = tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class ProjectFeatures:
    """N images whose features are known, by ascending id.

    ids: (N,) int64, internal.  public_ids, sha256: N.  vectors: (N, LENGTH) float32 of length one.
    prints: (N, FINGERPRINT_BYTES) uint8.  total: images of the project.
    """

    ids: NDArray[np.int64]
    public_ids: tuple[str, ...]
    sha256: tuple[str, ...]
    vectors: NDArray[np.float32]
    prints: NDArray[np.uint8]
    total: int
    row_of: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.public_ids)

    @property
    def missing(self) -> int:
        return self.total - len(self)


class FeatureStore:
    def __init__(self, cache_dir: Path) -> None:
        """cache_dir: of the install."""
        self._cache_dir = cache_dir
        self._projects: OrderedDict[int, tuple[_State, ProjectFeatures]] = OrderedDict()
        self._caches: dict[str, tuple[int, FeatureCache]] = {}
        self._lock = threading.Lock()

    def of_project(self, connection: Connection, project_id: int) -> ProjectFeatures:
        """The images as they are now. The same object comes for as long as nothing has changed."""
        state = self._state(connection, project_id)
        with self._lock:
            state_before, before = self._projects.get(project_id, (None, None))
        if before is not None and state == state_before:
            return before
        own = select(images.c.id, images.c.public_id, images.c.sha256).where(images.c.project_id == project_id)
        rows = [(row.id, row.public_id, row.sha256) for row in connection.execute(own.order_by(images.c.id))]
        with self._lock:
            found = self._updated(before, rows)
            self._projects[project_id] = (state, found)
            self._projects.move_to_end(project_id)
            while len(self._projects) > PROJECTS_KEPT:
                self._projects.popitem(last=False)
        return found

    def _state(self, connection: Connection, project_id: int) -> _State:
        """What differs once an image came or went or was read: reading all rows would take longer than the search.

        An id may come again where the newest image was removed, its public id does not.
        """
        own = images.c.project_id == project_id
        count, total, last = connection.execute(
            select(func.count(), func.sum(images.c.id), func.max(images.c.id)).where(own)
        ).one()
        newest = connection.scalar(select(images.c.public_id).where(images.c.id == last))
        with self._lock:
            self._cache()
            read = tuple((folder, shards) for folder, (shards, _) in self._caches.items())
        return count, total, newest, read

    def known(self, digests: list[str]) -> set[str]:
        """Those whose features have been read."""
        with self._lock:
            cache = self._cache()
            return set() if cache is None else {digest for digest in digests if digest in cache}

    def _updated(self, before: ProjectFeatures | None, rows: list[tuple[int, str, str]]) -> ProjectFeatures:
        cache = self._cache()
        old = {} if before is None else before.row_of
        kept = [(row, old[row[1]]) for row in rows if row[1] in old]
        fresh = [row for row in rows if row[1] not in old and cache is not None and row[2] in cache]
        if before is not None and not fresh and len(kept) == len(before) and before.total == len(rows):
            return before
        vectors = np.empty((len(kept) + len(fresh), LENGTH), np.float32)
        prints = np.empty((len(vectors), FINGERPRINT_BYTES), np.uint8)
        if before is not None:
            places = [place for _, place in kept]
            vectors[: len(kept)], prints[: len(kept)] = before.vectors[places], before.prints[places]
        for start in range(0, len(fresh), _AT_ONCE):
            assert cache is not None
            some = [row[2] for row in fresh[start : start + _AT_ONCE]]
            at = slice(len(kept) + start, len(kept) + start + len(some))
            vectors[at] = directions(np.stack([cache.feature(digest) for digest in some]))
            prints[at] = np.stack([cache.fingerprint(digest) for digest in some])
        whole = [row for row, _ in kept] + fresh
        order = np.argsort([row[0] for row in whole], kind="stable") if whole else np.zeros(0, np.int64)
        whole = [whole[place] for place in order.tolist()]
        vectors, prints = vectors[order], prints[order]
        for array in (vectors, prints):
            array.setflags(write=False)
        return ProjectFeatures(
            ids=np.array([row[0] for row in whole], np.int64),
            public_ids=tuple(row[1] for row in whole),
            sha256=tuple(row[2] for row in whole),
            vectors=vectors,
            prints=prints,
            total=len(rows),
            row_of={row[1]: place for place, row in enumerate(whole)},
        )

    def _cache(self) -> FeatureCache | None:
        """With the shards that have come since; None where nothing has been read yet."""
        index = read_index(self._cache_dir)
        if index is None:
            return None
        shards = sum(1 for _ in Path(index.folder).glob("*.index.npy"))
        kept = self._caches.get(index.folder)
        if kept is None or kept[0] != shards:
            kept = (shards, FeatureCache(Path(index.folder)))
            self._caches = {index.folder: kept}
        return kept[1]
