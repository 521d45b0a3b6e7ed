"""Groups of images that look the same, so that a split can keep each group on one side.

Order: equal files together; equal fingerprints together; then pairs whose 64-bit hashes differ in at most 7 bits are
proposed, and confirmed where the thumbnails agree as well; connected pairs make a group.

Search: the hash is cut into four bands of 16 bits. Two hashes that differ in at most 7 bits have a band that differs in
at most one bit, so 17 look-ups a band find every such pair. A row is compared with at most `WINDOW` rows of one bucket:
those whose thumbnails fall on the same sides of random planes (other planes for each band). So work and memory stay
linear even where all hashes are equal, at the price that some pairs in an overfull bucket are missed.

Chaining is bounded: where look-alikes of look-alikes join into one group of more than `LARGE_SHARE` of all rows (a
fixed camera, scanned forms), that group is judged again by a stricter limit, and if need be dissolved into equal
images, since no split could be made of it. Equal files always stay together. Nothing here reads files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trainer.data.fingerprint import FINGERPRINT_BYTES, HASH_BYTES, THUMBNAIL_SIDE

Rows = NDArray[np.int64]

MAX_HASH_BITS: Final = 7
WINDOW: Final = 64
LARGE_SHARE: Final = 0.05
LARGE_ROWS: Final = 50  # a group of at most so many rows is never judged again
MAX_TINT: Final = 24.0  # grey levels: the same shapes in another overall colour are another image
FLAT: Final = 1.0  # grey levels: below this contrast a thumbnail is rounding noise
_BANDS: Final = 4
_PLANES: Final = 16  # planes a band; neighbours in their order agree on the first ones
_SKETCH: Final = 24  # leading coordinates (lowest frequencies) of a thumbnail: a first, cheap comparison


def near_duplicate_groups(fingerprints: NDArray[np.uint8], sha256: Sequence[str]) -> NDArray[np.int64]:
    """Number the groups of rows that are the same image or look like it.

    fingerprints: (N, FINGERPRINT_BYTES) uint8 from `fingerprint`.  sha256: N digests of the files.
    Returns (N,) int64 group numbers, 0 upwards in the order of their first rows; most groups have one row.
    Raises ValueError if the lengths differ.
    """
    rows = len(sha256)
    if fingerprints.shape != (rows, FINGERPRINT_BYTES) or fingerprints.dtype != np.uint8:
        raise ValueError(
            f"expected uint8 fingerprints of shape ({rows}, {FINGERPRINT_BYTES}), one for each of {rows} digests,"
            f" found {fingerprints.dtype} {fingerprints.shape}"
        )
    if rows == 0:
        return np.zeros(0, dtype=np.int64)
    _, same_file = np.unique(np.asarray(sha256), return_inverse=True)
    whole = np.ascontiguousarray(fingerprints).view(np.dtype((np.void, FINGERPRINT_BYTES))).ravel()
    _, first, same_look = np.unique(whole, return_index=True, return_inverse=True)
    alike = _group_looks(fingerprints[first], np.bincount(same_look), limit=max(LARGE_ROWS, LARGE_SHARE * rows))
    forest = _Forest(rows)
    forest.join(_first_of(same_file), np.arange(rows))
    forest.join(_first_of(alike[same_look]), np.arange(rows))
    return np.unique(forest.root, return_inverse=True)[1].astype(np.int64)


def _group_looks(fingerprints: NDArray[np.uint8], weights: Rows, limit: float) -> Rows:
    """Group distinct fingerprints: (K,) int64 numbers. `weights`: rows behind each; `limit`: rows of a large group."""
    looks = _Looks(fingerprints)
    groups = looks.grouped(base=0.96, slope=0.0035)
    members = np.flatnonzero(_is_large(groups, weights, limit))
    if len(members):
        groups = groups.copy()
        part = _Looks(fingerprints[members]).grouped(base=0.995, slope=0.001)
        still = _is_large(part, weights[members], limit)
        part[still] = np.flatnonzero(still)  # only equal images stay together
        groups[members] = len(groups) + part
    return groups


def _is_large(groups: Rows, weights: Rows, limit: float) -> NDArray[np.bool_]:
    """Whether each row's group holds more than `limit` rows in two or more looks."""
    large: NDArray[np.bool_] = (np.bincount(groups, weights=weights) > limit) & (np.bincount(groups) > 1)
    return large[groups]


class _Looks:
    """Distinct fingerprints, unpacked for comparison: K rows."""

    def __init__(self, fingerprints: NDArray[np.uint8]) -> None:
        self.count = len(fingerprints)
        self.hashes = np.ascontiguousarray(fingerprints[:, :HASH_BYTES]).view(np.uint64).ravel()  # (K,)
        cells = fingerprints[:, HASH_BYTES:].astype(np.float32).reshape(self.count, THUMBNAIL_SIDE**2, 3)
        means = cells.mean(axis=1, keepdims=True)  # (K,1,3)
        self.tints = means[:, 0, (0, 2)] - means[:, 0, 1:2]  # (K,2): red and blue against green
        cells -= means
        lengths = np.linalg.norm(cells, axis=(1, 2), keepdims=True)
        lengths[lengths < FLAT * np.sqrt(THUMBNAIL_SIDE**2 * 3)] = np.inf  # agrees with nothing
        cells /= lengths
        basis = _frequencies()  # (64,64) orthonormal
        self.shapes = (basis @ cells).reshape(self.count, -1)  # (K,64,3) -> (K,192), rows of length 1 or 0
        self.sketches = np.ascontiguousarray(self.shapes[:, :_SKETCH])

    def grouped(self, base: float, slope: float) -> Rows:
        """Connect rows whose hashes are near and whose thumbnails agree: the smallest row of each row's group."""
        forest = _Forest(self.count)
        for left, right in self._candidates():
            near = np.flatnonzero(np.bitwise_count(self.hashes[left] ^ self.hashes[right]) <= MAX_HASH_BITS)
            near = near[forest.root[left[near]] != forest.root[right[near]]]
            if len(near):
                left, right = left[near], right[near]
                agree = self.agree(left, right, base, slope)
                forest.join(left[agree], right[agree])
        return forest.root

    def agree(self, left: Rows, right: Rows, base: float, slope: float) -> NDArray[np.bool_]:
        """Whether the thumbnails' correlation reaches base + slope * (bits in which the hashes differ).

        Brightness and contrast may differ, the overall tint only a little. The limits were set by looking at the pairs
        found among photos, hand signs, cards and handwritten digits (see tests/trainer/data/test_near_duplicates.py).
        """
        wanted = base + slope * np.bitwise_count(self.hashes[left] ^ self.hashes[right])
        # |a - b|^2 = 2 - 2 correlation for unit vectors, and no part of it can exceed the whole.
        gap = self.sketches[left] - self.sketches[right]
        answer: NDArray[np.bool_] = np.einsum("ij,ij->i", gap, gap) <= 2 - 2 * wanted
        index = np.flatnonzero(answer)
        a, b = left[index], right[index]
        same = np.einsum("ij,ij->i", self.shapes[a], self.shapes[b]) >= wanted[index]
        same &= np.abs(self.tints[a] - self.tints[b]).max(axis=1, initial=0) <= MAX_TINT
        answer[index] = same
        return answer

    def _candidates(self) -> Iterator[tuple[Rows, Rows]]:
        planes = np.random.default_rng(64).standard_normal((_BANDS, self.shapes.shape[1], _PLANES)).astype(np.float32)
        for band in range(_BANDS):
            keys = ((self.hashes >> np.uint64(16 * band)) & np.uint64(0xFFFF)).astype(np.int64)
            along = self.shapes @ planes[band]  # (K,16)
            sides = (along > np.median(along, axis=0)) @ (1 << np.arange(_PLANES - 1, -1, -1))
            places = keys << _PLANES | sides
            order = np.argsort(places, kind="stable")
            places, keys, sides = places[order], keys[order], sides[order]
            starts = np.searchsorted(keys, np.arange(65537))
            after = np.arange(1, self.count + 1)
            yield from _windows(order, after, starts[keys + 1], order)
            for bit in range(16):
                low = np.flatnonzero((keys >> bit) & 1 == 0)  # each pair of buckets once
                other = keys[low] | (1 << bit)
                begin, end = starts[other], starts[other + 1]
                low, other, begin, end = (array[begin < end] for array in (low, other, begin, end))
                middle = np.searchsorted(places, other << _PLANES | sides[low])
                begin = np.maximum(begin, np.minimum(middle - WINDOW // 2, end - WINDOW))
                yield from _windows(order[low], begin, end, order)


class _Forest:
    """Union of rows by hooking and pointer jumping; `root[i]` is always the smallest row of i's group."""

    def __init__(self, count: int) -> None:
        self.root: Rows = np.arange(count, dtype=np.int64)

    def join(self, left: Rows, right: Rows) -> None:
        root = self.root
        while True:
            low, high = np.minimum(root[left], root[right]), np.maximum(root[left], root[right])
            open_ = low != high
            if not open_.any():
                break
            left, right = left[open_], right[open_]
            np.minimum.at(root, high[open_], low[open_])
            while True:
                above = root[root]
                if np.array_equal(above, root):
                    break
                root = above
        self.root = root


def _windows(rows: Rows, begin: Rows, end: Rows, order: Rows) -> Iterator[tuple[Rows, Rows]]:
    """Pair rows[i] with order[begin[i]], then with order[begin[i] + 1], ... up to end[i], at most `WINDOW` times."""
    for step in range(WINDOW):
        open_ = begin + step < end
        if not open_.any():
            return
        rows, begin, end = rows[open_], begin[open_], end[open_]
        yield rows, order[begin + step]


def _frequencies() -> NDArray[np.float32]:
    """The orthonormal 2-D DCT of an 8x8 block as a (64,64) matrix, lowest frequencies first."""
    side = THUMBNAIL_SIDE
    waves = np.cos(np.pi * (2 * np.arange(side) + 1) * np.arange(side)[:, None] / (2 * side))
    waves /= np.linalg.norm(waves, axis=1, keepdims=True)
    order = np.argsort(np.add.outer(np.arange(side), np.arange(side)).ravel(), kind="stable")
    return np.kron(waves, waves)[order].astype(np.float32)


def _first_of(values: Rows) -> Rows:
    """For each row, the first row of the same value; values are not negative."""
    first = np.full(int(values.max()) + 1, len(values))
    np.minimum.at(first, values, np.arange(len(values)))
    return first[values]
