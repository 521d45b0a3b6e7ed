"""Real images for the proof: which of the run's images are taken, and their bytes.

Images of the held-out splits first, spread over the labels, so that the proof does not look at training images alone.
"""

from __future__ import annotations

import hashlib
import io
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bundle.decode import decode_image
from bundle.manifest import PreprocessSpec
from bundle.preprocess import preprocess
from exporter.errors import ExportError
from trainer.data.snapshot import Snapshot

PARITY_IMAGES = 64
GOLDEN_IMAGES = 8  # of those
GOLDEN_EDGE = 640  # pixels; a larger golden image is made smaller, so that a bundle stays light
GOLDEN_BYTES = 256 * 1024


@dataclass(frozen=True)
class Evidence:
    """rows: of the snapshot.  image_bytes: files' contents.  images: uint8 (N,H,W,3), preprocessed."""

    rows: NDArray[np.int64]
    image_bytes: tuple[bytes, ...]
    images: NDArray[np.uint8]


def gather_evidence(snapshot: Snapshot, root: Path, spec: PreprocessSpec, count: int) -> Evidence:
    """Up to `count` images that are still what the snapshot says.

    Raises ExportError where none is left: parity without real images would prove nothing.
    """
    found = list(islice(unchanged_images(snapshot, root, _preferred(snapshot)), count))
    if not found:
        raise ExportError(
            f"{root}: expected the images that this run was trained on, found none unchanged. The export proves itself"
            " on real images; put the folder back, or name it with --images."
        )
    rows, contents = zip(*found, strict=True)
    images = np.stack([preprocess(data, spec) for data in contents])
    return Evidence(np.asarray(rows), contents, images)


def unchanged_images(snapshot: Snapshot, root: Path, rows: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    """Row and file's content of those of the rows whose file is still what the snapshot says, in their order."""
    for row in rows:
        try:
            data = (root / snapshot.paths[row]).read_bytes()
        except OSError:
            continue
        if hashlib.sha256(data).hexdigest() == snapshot.sha256[row]:
            yield row, data


def spread(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """At most `count` of the rows, evenly spaced: rows stand by path, so class folders keep their shares."""
    if len(rows) <= count:
        return rows
    return rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)]


def golden_bytes(data: bytes) -> bytes:
    """The file itself where it is small, else the image at most 640 pixels wide and high as a JPEG."""
    if len(data) <= GOLDEN_BYTES:
        return data
    image = Image.fromarray(decode_image(data, min_size=(GOLDEN_EDGE, GOLDEN_EDGE)))
    image.thumbnail((GOLDEN_EDGE, GOLDEN_EDGE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _preferred(snapshot: Snapshot) -> Iterator[int]:
    """Rows: test, then validation, then training; within a split an image of each label in turn, and one of none."""
    for code in (2, 1, 0):
        rows = np.flatnonzero(snapshot.splits == code)
        matrix = snapshot.label_matrix[rows]  # (n,C)
        waiting = [deque(rows[column].tolist()) for column in (*matrix.T, ~matrix.any(axis=1))]
        taken: set[int] = set()
        while waiting:
            for queue in waiting:
                while queue and queue[0] in taken:
                    queue.popleft()
                if queue:
                    taken.add(queue[0])
                    yield queue.popleft()
            waiting = [queue for queue in waiting if queue]
