"""Small JPEG pictures for the report, and the choice of those that fit into it."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

THUMBNAIL_SIDE: Final = 160
LARGEST_THUMBNAIL: Final = 64 * 1024
_JPEG_START: Final = b"\xff\xd8\xff"


def thumbnail_jpeg(image: NDArray[np.uint8], side: int = THUMBNAIL_SIDE) -> bytes:
    """(H, W, 3) uint8 RGB -> JPEG bytes of at most side x side pixels, its aspect ratio kept; about 6 KiB at 160."""
    picture = Image.fromarray(image)
    picture.thumbnail((side, side), Image.Resampling.BICUBIC)
    stored = io.BytesIO()
    picture.save(stored, "JPEG", quality=78, optimize=True)
    return stored.getvalue()


def embed_thumbnails(
    image_ids: Iterable[str], load_thumbnail: Callable[[str], bytes | None], most_characters: int
) -> dict[str, str]:
    """Image id -> data URI, each image once, in the order given, until `most_characters` are spent.

    What the callback does not have (None), is not a JPEG or is larger than 64 KiB is left out.
    """
    embedded: dict[str, str] = {}
    asked: set[str] = set()
    left = most_characters
    for image_id in image_ids:
        if image_id in asked:
            continue
        asked.add(image_id)
        data = load_thumbnail(image_id)
        if not data or not data.startswith(_JPEG_START) or len(data) > LARGEST_THUMBNAIL:
            continue
        uri = "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")
        if len(uri) > left:
            break
        left -= len(uri)
        embedded[image_id] = uri
    return embedded
