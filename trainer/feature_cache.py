"""Features on disk, keyed by image digest, so that a second training on the same images starts at once.

One folder a key (backbone x preprocessing); shards are written once and never changed: an array of rows, then the index
that names them. A shard without its index does not exist, so a crash at any moment loses at most the shard in the
making, and several processes may write at once. Every row has a checksum, looked at when the row is first asked for: a
damaged shard is removed and its images are computed again.
"""

from __future__ import annotations

import functools
import hashlib
import tokenize
import uuid
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bundle.files import atomic_file

CACHE_FORMAT = b"onsight/features/v2"  # to be raised when a row's layout or what a fingerprint says changes
DIGEST_BYTES, CHECKSUM_BYTES = 32, 4
OPEN_SHARDS = 32  # a mapped file keeps its descriptor, and a process may have no more than 1,024 of them


def cache_key(*parts: str) -> str:
    """A folder name from everything that the features depend on."""
    digest = hashlib.sha256(CACHE_FORMAT)
    for part in parts:
        digest.update(b"\0" + part.encode())
    return digest.hexdigest()[:32]


class FeatureCache:
    """Rows of features and fingerprints by image digest.

    features: (n, *shape) of one dtype; fingerprints: (n, B) uint8; digests: SHA-256 in hex.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._place: dict[bytes, tuple[int, int]] = {}
        self._shards: list[_Shard] = []
        self._intact: set[bytes] = set()
        self._arrays = functools.lru_cache(OPEN_SHARDS)(_map_arrays)
        folder.mkdir(parents=True, exist_ok=True)
        for index in sorted(folder.glob("*.index.npy")):
            self._open_shard(index)

    def __contains__(self, sha256: str) -> bool:
        """Whether the row is there and undamaged. Safe to ask from several threads."""
        digest = bytes.fromhex(sha256)
        if digest in self._intact:
            return True
        place = self._place.get(digest)
        if place is None:
            return False
        shard, row = place
        found = self._shards[shard]
        features, prints = self._arrays(found.stem)
        if found.index[row, DIGEST_BYTES:].tobytes() != _checksum(digest, features[row], prints[row]):
            self._place.pop(digest, None)
            Path(f"{found.stem}.index.npy").unlink(missing_ok=True)
            return False
        self._intact.add(digest)
        return True

    def __len__(self) -> int:
        return len(self._place)

    def feature(self, sha256: str) -> NDArray[np.generic]:
        shard, row = self._place[bytes.fromhex(sha256)]
        value: NDArray[np.generic] = self._arrays(self._shards[shard].stem)[0][row]
        return value

    def fingerprint(self, sha256: str) -> NDArray[np.uint8]:
        shard, row = self._place[bytes.fromhex(sha256)]
        value: NDArray[np.uint8] = self._arrays(self._shards[shard].stem)[1][row]
        return value

    def append(self, digests: list[str], features: NDArray[np.generic], fingerprints: NDArray[np.uint8]) -> None:
        """Write one shard; the three have the same length."""
        name = uuid.uuid4().hex
        _save(self.folder / f"{name}.features.npy", features)
        _save(self.folder / f"{name}.prints.npy", fingerprints)
        index_path = self.folder / f"{name}.index.npy"
        rows = zip(map(bytes.fromhex, digests), features, fingerprints, strict=True)
        index = b"".join(digest + _checksum(digest, feature, print_) for digest, feature, print_ in rows)
        _save(index_path, np.frombuffer(index, np.uint8).reshape(len(digests), -1))
        self._open_shard(index_path)

    def _open_shard(self, index_path: Path) -> None:
        stem = str(index_path).removesuffix(".index.npy")
        try:
            index = np.load(index_path, allow_pickle=False)
            features, prints = self._arrays(stem)
            if index.shape[1:] != (DIGEST_BYTES + CHECKSUM_BYTES,) or not len(index) == len(features) == len(prints):
                raise ValueError("the parts do not belong together")
        except OSError:
            return  # another process has just removed it, or it is not ours to read
        except (ValueError, EOFError, TypeError, tokenize.TokenError):  # what numpy says to a damaged header
            index_path.unlink(missing_ok=True)
            return
        shard = len(self._shards)
        self._shards.append(_Shard(stem, index))
        for row, entry in enumerate(index):
            self._place[entry[:DIGEST_BYTES].tobytes()] = (shard, row)


@dataclass(frozen=True)
class _Shard:
    """stem: its files' path, less their endings.  index: (n, 36) uint8, digest and checksum a row."""

    stem: str
    index: NDArray[np.uint8]


def _map_arrays(stem: str) -> tuple[NDArray[np.generic], NDArray[np.uint8]]:
    """Features and fingerprints of a shard, memory-mapped."""
    features: NDArray[np.generic] = np.load(f"{stem}.features.npy", mmap_mode="r", allow_pickle=False)
    prints: NDArray[np.uint8] = np.load(f"{stem}.prints.npy", mmap_mode="r", allow_pickle=False)
    return features, prints


def _checksum(digest: bytes, feature: NDArray[np.generic], print_: NDArray[np.uint8]) -> bytes:
    """CRC-32 of a row, 4 bytes."""
    crc = zlib.crc32(digest)
    for part in (feature, print_):
        crc = zlib.crc32(np.ascontiguousarray(part).view(np.uint8).data, crc)
    return crc.to_bytes(CHECKSUM_BYTES, "little")


def _save(path: Path, array: NDArray[np.generic]) -> None:
    with atomic_file(path) as file:
        np.save(file, array, allow_pickle=False)
