"""One pass over the images: bytes -> digest -> pixels -> fingerprint and features, each image read and decoded once.

Worker threads read, decode and run the encoder (all three leave Python's lock); the calling thread collects the rows
and writes them to the cache in shards. What is in the cache already is neither decoded nor encoded. An image that
cannot be read is reported, never fatal.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bundle.decode import ImageLimits
from bundle.errors import ImageError
from bundle.image_limits import read_image_file
from bundle.manifest import PreprocessSpec
from bundle.preprocess import preprocess_picture
from trainer.data.fingerprint import FINGERPRINT_BYTES, fingerprint_picture
from trainer.feature_cache import FeatureCache

Encode = Callable[[NDArray[np.uint8]], NDArray[np.generic]]
Progress = Callable[[int, int], None]

BATCH_IMAGES = 4  # measured: no gain beyond, and small batches keep both cores busy to the end
SHARD_IMAGES = 512
SHARD_BYTES = 128 << 20  # of features; a shard in the making is held in memory
SHARD_S = 60.0  # a shard is written after so long at the latest: it is what a power cut may cost
MOVED_ROWS = 256
MEMORY_LIMIT_BYTES = 2 << 30  # a larger table is kept in an unlinked file


@dataclass(frozen=True)
class ImageTable:
    """One row an image, in the order that was asked for.

    sha256: digest in hex, "" where the file cannot be read.  fingerprints: (N,B) uint8.  features: (N, *shape).
    unreadable: path -> reason; such rows are zeros.
    """

    sha256: tuple[str, ...]
    fingerprints: NDArray[np.uint8]
    features: NDArray[np.generic]
    unreadable: dict[str, str]
    computed: int
    seconds: float


@dataclass(frozen=True)
class _Row:
    sha256: str
    feature: NDArray[np.generic] | None = None
    print: NDArray[np.uint8] | None = None
    error: str | None = None


def extract(
    root: Path,
    paths: Sequence[str],
    spec: PreprocessSpec,
    encode: Encode,
    cache: FeatureCache,
    *,
    workers: int,
    limits: ImageLimits | None = None,
    progress: Progress | None = None,
) -> ImageTable:
    """Compute or recall the features of every path (relative to root).

    Interrupted at any moment, what `progress` was told of is in the cache and the next call goes on from there.
    """
    started = time.monotonic()
    limits = limits or ImageLimits()
    sha256: list[str] = [""] * len(paths)
    fresh = _ShardWriter(cache)
    unreadable: dict[str, str] = {}
    done = computed = 0
    try:
        for start, rows in _in_order(root, paths, spec, encode, cache, workers, limits):
            for offset, row in enumerate(rows):
                index = start + offset
                if row.error is not None:
                    unreadable[paths[index]] = row.error
                    continue
                sha256[index] = row.sha256
                if row.feature is not None and row.print is not None:
                    fresh.add(row.sha256, row.feature, row.print)
                    computed += 1
            done += len(rows)
            if progress:
                progress(done, len(paths))
    finally:
        fresh.flush()
    fingerprints = np.zeros((len(paths), FINGERPRINT_BYTES), np.uint8)
    for index, digest in enumerate(sha256):
        if digest:
            fingerprints[index] = cache.fingerprint(digest)
    features = _gather(cache, sha256)
    return ImageTable(tuple(sha256), fingerprints, features, unreadable, computed, time.monotonic() - started)


def sample_paths(paths: Sequence[str], count: int) -> list[str]:
    """Evenly spaced paths: a sample to time before a long pass (its results stay in the cache)."""
    if len(paths) <= count:
        return list(paths)
    return [paths[int(index)] for index in np.linspace(0, len(paths) - 1, count)]


def keep_rows(table: NDArray[np.generic], rows: NDArray[np.int64]) -> NDArray[np.generic]:
    """The given ascending rows of a table, moved to its front: it may be larger than memory, so there is no second."""
    if len(rows) < len(table):
        for start in range(0, len(rows), MOVED_ROWS):
            moved = rows[start : start + MOVED_ROWS]
            table[start : start + len(moved)] = table[moved]
    return table[: len(rows)]


def _in_order(
    root: Path,
    paths: Sequence[str],
    spec: PreprocessSpec,
    encode: Encode,
    cache: FeatureCache,
    workers: int,
    limits: ImageLimits,
) -> Iterator[tuple[int, list[_Row]]]:
    def work(start: int) -> list[_Row]:
        batch = paths[start : start + BATCH_IMAGES]
        return _encode_batch([_read(root / path, spec, cache, limits) for path in batch], encode)

    pending: deque[tuple[int, Future[list[_Row]]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="features")
    try:
        for start in range(0, len(paths), BATCH_IMAGES):
            pending.append((start, pool.submit(work, start)))
            if len(pending) >= workers * 4:
                first, future = pending.popleft()
                yield first, future.result()
        while pending:
            first, future = pending.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read(
    path: Path, spec: PreprocessSpec, cache: FeatureCache, limits: ImageLimits
) -> tuple[_Row, NDArray[np.uint8] | None]:
    try:
        data = read_image_file(path, limits)
        digest = hashlib.sha256(data).hexdigest()
        if digest in cache:
            return _Row(digest), None
        picture = preprocess_picture(data, spec, limits)
    except (ImageError, OSError) as error:
        return _Row("", error=str(error)), None
    return _Row(digest, print=fingerprint_picture(picture)), np.asarray(picture)  # (H,W,3) uint8


def _encode_batch(read: list[tuple[_Row, NDArray[np.uint8] | None]], encode: Encode) -> list[_Row]:
    images = [image for _, image in read if image is not None]
    if not images:
        return [row for row, _ in read]
    features = iter(encode(np.stack(images)))  # (n,H,W,3) -> (n, *shape)
    return [row if image is None else _Row(row.sha256, np.asarray(next(features)), row.print) for row, image in read]


class _ShardWriter:
    def __init__(self, cache: FeatureCache) -> None:
        self.cache = cache
        self.rows: dict[str, tuple[NDArray[np.generic], NDArray[np.uint8]]] = {}
        self.flushed_s = time.monotonic()

    def add(self, sha256: str, feature: NDArray[np.generic], print_: NDArray[np.uint8]) -> None:
        self.rows[sha256] = (feature, print_)
        full = len(self.rows) >= SHARD_IMAGES or len(self.rows) * feature.nbytes >= SHARD_BYTES
        if full or time.monotonic() - self.flushed_s > SHARD_S:
            self.flush()

    def flush(self) -> None:
        rows = {digest: row for digest, row in self.rows.items() if digest not in self.cache}
        if rows:
            features = np.stack([feature for feature, _ in rows.values()])
            prints = np.stack([print_ for _, print_ in rows.values()])
            self.cache.append(list(rows), features, prints)
        self.rows = {}
        self.flushed_s = time.monotonic()


def _gather(cache: FeatureCache, sha256: Sequence[str]) -> NDArray[np.generic]:
    first = next((digest for digest in sha256 if digest), None)
    if first is None:
        return np.zeros((len(sha256), 0), np.float32)
    example = cache.feature(first)
    shape, dtype = (len(sha256), *example.shape), example.dtype
    size = int(np.prod(shape)) * dtype.itemsize
    table: NDArray[np.generic]
    if size <= MEMORY_LIMIT_BYTES:
        table = np.zeros(shape, dtype)
    else:
        with tempfile.TemporaryFile(dir=cache.folder) as file:
            os.truncate(file.fileno(), size)
            table = np.memmap(file, dtype, "r+", shape=shape)
    for index, digest in enumerate(sha256):
        if digest:
            table[index] = cache.feature(digest)
    return table
