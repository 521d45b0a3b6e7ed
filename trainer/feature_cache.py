"""Features on disk, keyed by image digest, so that a second training on the same images starts at once.

One folder a key (backbone x preprocessing); shards are written once and never changed: an array of rows, then the index
that names them. A shard without its index does not exist, so a crash at any moment loses at most the shard in the
making, and several processes may write at once.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CACHE_FORMAT = b"onsight/features/v1"


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
        self._features: list[NDArray[np.generic]] = []
        self._fingerprints: list[NDArray[np.uint8]] = []
        folder.mkdir(parents=True, exist_ok=True)
        for index in sorted(folder.glob("*.index.npy")):
            self._open_shard(index)

    def __contains__(self, sha256: str) -> bool:
        return bytes.fromhex(sha256) in self._place

    def __len__(self) -> int:
        return len(self._place)

    def feature(self, sha256: str) -> NDArray[np.generic]:
        shard, row = self._place[bytes.fromhex(sha256)]
        value: NDArray[np.generic] = self._features[shard][row]
        return value

    def fingerprint(self, sha256: str) -> NDArray[np.uint8]:
        shard, row = self._place[bytes.fromhex(sha256)]
        value: NDArray[np.uint8] = self._fingerprints[shard][row]
        return value

    def append(self, digests: list[str], features: NDArray[np.generic], fingerprints: NDArray[np.uint8]) -> None:
        """Write one shard; the three have the same length."""
        name = uuid.uuid4().hex
        _save(self.folder / f"{name}.features.npy", features)
        _save(self.folder / f"{name}.prints.npy", fingerprints)
        index = self.folder / f"{name}.index.npy"
        _save(index, np.frombuffer(bytes.fromhex("".join(digests)), np.uint8).reshape(-1, 32))
        self._open_shard(index)

    def _open_shard(self, index: Path) -> None:
        stem = index.name.removesuffix(".index.npy")
        try:
            digests = np.load(index, allow_pickle=False)
            features = np.load(self.folder / f"{stem}.features.npy", mmap_mode="r", allow_pickle=False)
            prints = np.load(self.folder / f"{stem}.prints.npy", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return  # damaged or half-deleted: its images are computed again
        if not len(digests) == len(features) == len(prints):
            return
        shard = len(self._features)
        self._features.append(features)
        self._fingerprints.append(prints)
        for row, digest in enumerate(digests):
            self._place[digest.tobytes()] = (shard, row)


def _save(path: Path, array: NDArray[np.generic]) -> None:
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
