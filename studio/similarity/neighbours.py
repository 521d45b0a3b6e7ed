"""Each image's nearest neighbours in its project, and which of them show the same; found in the background.

Every image is compared with every other, block by block: 10,000 images take a second, 100,000 some minutes. What was
found is kept until the images change. Features propose near-duplicates and thumbnails have to agree, since images are
removed by what is found here: where all photos are of one kind, different ones are as near as copies.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from studio.similarity.store import ProjectFeatures
from trainer.data.duplicates import near_duplicate_groups
from trainer.data.look_alikes import CONFIRMED, PROPOSED, aligned_correlation

log = logging.getLogger("onsight.studio")

NEAREST: Final = 10
LOWEST_PAIR: Final = PROPOSED
NEAR_DUPLICATE: Final = 0.985
_MOST_ROWS: Final = 512
_MOST_COSINES: Final = 1 << 24  # at once, 64 MiB of them, and twice that for their order
_KEPT: Final = 3


@dataclass(frozen=True, eq=False)
class Neighbours:
    """nearest: (N, k) rows, the nearest first, k at most NEAREST.  first, second, cosine: pairs of an image and one of
    its nearest, from LOWEST_PAIR up, whose thumbnails agree.  looks: (N,) groups by fingerprint, as the trainer keeps
    them on one side of a split.
    """

    features: ProjectFeatures
    nearest: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    cosine: NDArray[np.float32]
    looks: NDArray[np.int64]

    def groups(self, threshold: float) -> list[NDArray[np.int64]]:
        """Rows of each group of two and more that hang together by pairs at the threshold or equal fingerprints."""
        count = len(self.features)
        near = self.cosine >= threshold
        _, first_of_look = np.unique(self.looks, return_index=True)
        ones = np.concatenate([self.first[near], np.arange(count)])
        others = np.concatenate([self.second[near], first_of_look[self.looks]])
        graph = coo_array((np.ones(len(ones), np.int8), (ones, others)), shape=(count, count))
        _, group = connected_components(graph, directed=False)
        order = np.argsort(group, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(group[order])) + 1) if count else []
        return [np.sort(part) for part in parts if len(part) > 1]


@dataclass
class Working:
    """done, total: rows.  dropped: the images have changed since."""

    done: int
    total: int
    future: Future[Neighbours] | None = None
    dropped: threading.Event = field(default_factory=threading.Event)

    def drop(self) -> None:
        """Do no more for it: while images come in, each question is for a new set of them, and old ones pile up."""
        self.dropped.set()
        if self.future is not None:
            self.future.cancel()


class NeighbourStore:
    """One computation at a time, in a thread of its own."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="neighbours")
        self._known: OrderedDict[int, tuple[ProjectFeatures, Working]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, project_id: int, features: ProjectFeatures, wait_s: float) -> Neighbours | Working:
        """Those of these features, or how far they are after `wait_s`."""
        with self._lock:
            known = self._known.get(project_id)
            if known is None or not _are_equal(known[0], features):
                if known is not None:
                    known[1].drop()
                working = Working(0, len(features))
                working.future = self._pool.submit(self._work, project_id, features, working)
                self._known[project_id] = known = (features, working)
            self._known.move_to_end(project_id)
            finished = [each for each, (_, working) in self._known.items() if working.future and working.future.done()]
            for each in finished[:-_KEPT]:  # one that works is kept: dropped, it would begin anew at the next question
                del self._known[each]
        working = known[1]
        assert working.future is not None
        try:
            return working.future.result(wait_s)
        except (TimeoutError, CancelledError):
            return working

    def _work(self, project_id: int, features: ProjectFeatures, working: Working) -> Neighbours:
        try:
            return find_neighbours(features, working)
        except CancelledError:
            raise
        except BaseException:
            log.exception("neighbours failed")
            with self._lock:  # the next question tries again
                known = self._known.get(project_id)
                if known is not None and known[1] is working:
                    del self._known[project_id]
            raise


def _are_equal(one: ProjectFeatures, other: ProjectFeatures) -> bool:
    """Whether the same rows are of the same images: they come anew where other projects have taken their place."""
    return one is other or one.public_ids == other.public_ids


def find_neighbours(features: ProjectFeatures, working: Working | None = None) -> Neighbours:
    """Raises CancelledError where it was dropped meanwhile."""
    count, vectors = len(features), features.vectors
    kept = min(NEAREST, max(0, count - 1))
    nearest = np.zeros((count, kept), np.int64)
    near = np.zeros((count, kept), np.float32)
    at_once = max(1, min(_MOST_ROWS, _MOST_COSINES // max(1, count)))
    for start in range(0, count, at_once):
        if working is not None and working.dropped.is_set():
            raise CancelledError
        rows = np.arange(start, min(start + at_once, count))
        cosines = vectors[rows] @ vectors.T  # (B,LENGTH) -> (B,N)
        cosines[np.arange(len(rows)), rows] = -2.0
        if kept:
            top = np.argpartition(-cosines, kept - 1, axis=1)[:, :kept]
            order = np.argsort(-np.take_along_axis(cosines, top, axis=1), axis=1, kind="stable")
            nearest[rows] = np.take_along_axis(top, order, axis=1)
            near[rows] = np.take_along_axis(cosines, nearest[rows], axis=1)
        if working is not None:
            working.done = int(rows[-1]) + 1
    first, places = np.nonzero(near >= LOWEST_PAIR)
    second = nearest[first, places]
    once = (first < second) | ~(nearest[second] == first[:, None]).any(axis=1)  # the other way round says the same
    first, second, places = first[once], second[once], places[once]
    same = aligned_correlation(features.prints[first], features.prints[second]) >= CONFIRMED
    first, second, cosine = first[same], second[same], near[first, places][same]
    looks = near_duplicate_groups(features.prints, features.sha256)
    return Neighbours(features, nearest, first, second, cosine, looks)
