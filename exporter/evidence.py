"""Real images for the proof: which of the run's images are taken, and their bytes.

Images of the held-out splits first, spread over the labels, so that the proof does not look at training images alone.
"""

from __future__ import annotations

import hashlib
import io
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
            rows.append(int(row))
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


def _preferred(snapshot: Snapshot) -> NDArray[np.int64]:
    """Rows: test, then validation, then training; within a split one of each label in turn."""
    order: list[int] = []
    for code in (2, 1, 0):
        rows = np.flatnonzero(snapshot.splits == code)
        seen: dict[int, int] = {}
        rank = []
        for row in rows:
            label = int(snapshot.label_matrix[row].argmax())
            seen[label] = seen.get(label, -1) + 1
            rank.append((seen[label], label))
        order.extend(int(rows[i]) for i in sorted(range(len(rows)), key=rank.__getitem__))
    return np.asarray(order, np.int64)
