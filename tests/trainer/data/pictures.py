"""Real images made by code, and the feature pass in small, for the tests of the data side."""

from __future__ import annotations

import hashlib
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from trainer.data import FINGERPRINT_BYTES, Dataset, Snapshot, build_snapshot, fingerprint


def picture(seed: int, side: int = 96) -> Image.Image:
    """A picture like no other: coloured shapes on a shaded ground."""
    random = np.random.default_rng(seed)
    corners = random.integers(0, 256, (2, 2, 3), dtype=np.uint8)
    image = Image.fromarray(corners).resize((side, side), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(image)
    for _ in range(8):
        left, top = random.integers(0, side * 3 // 4, 2).tolist()
        width, height = random.integers(side // 8, side // 2, 2).tolist()
        colour = tuple(random.integers(0, 256, 3).tolist())
        shape = draw.ellipse if random.random() < 0.5 else draw.rectangle
        shape((left, top, left + width, top + height), fill=colour)
    return image


def pixels(image: Image.Image, side: int = 96) -> NDArray[np.uint8]:
    return np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR))


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def snapshot_of(dataset: Dataset, **options: object) -> Snapshot:
    """Read every file as the feature pass does, and build the snapshot."""
    digests, looks, unreadable = [], [], {}
    for file in dataset.files:
        data = (dataset.root / file.path).read_bytes()
        digests.append(hashlib.sha256(data).hexdigest())
        try:
            looks.append(fingerprint(pixels(Image.open(io.BytesIO(data)))))
        except OSError:
            looks.append(np.zeros(FINGERPRINT_BYTES, dtype=np.uint8))
            unreadable[file.path] = "not an image"
    return build_snapshot(
        dataset,
        sha256=digests,
        fingerprints=np.stack(looks),
        unreadable=unreadable,
        **options,  # type: ignore[arg-type]
    )
