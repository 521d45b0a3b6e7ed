"""Real images for the proof: which of the run's images are taken, and their bytes.

Images of the held-out splits first, spread over the labels, so that the proof does not look at training images alone.
"""

from __future__ import annotations

import hashlib
import io
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bundle.decode import decode_image
from bundle.manifest import PreprocessSpec
from bundle.preprocess import preprocess
from exporter.errors import ExportError
from trainer.data.snapshot import Snapshot

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
    rows: list[int] = []
    contents: list[bytes] = []
    for row in _preferred(snapshot):
        if len(rows) == count:
            break
        try:
            data = (root / snapshot.paths[row]).read_bytes()
        except OSError:
            continue
        if hashlib.sha256(data).hexdigest() == snapshot.sha256[row]:
            rows.append(row)
            contents.append(data)
    if not rows:
        raise ExportError(
            f"{root}: expected the images that this run was trained on, found none unchanged. The export proves itself"
            " on real images; put the folder back, or name it with --images."
        )
    images = np.stack([preprocess(data, spec) for data in contents])
    return Evidence(np.asarray(rows), tuple(contents), images)


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
