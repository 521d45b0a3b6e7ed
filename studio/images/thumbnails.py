"""Look at an image's bytes: format, size, and a thumbnail. The one place of the studio where images are decoded.

A JPEG is decoded at the smallest scale that a thumbnail needs (`bundle.decode`).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final

from PIL import Image

from bundle.decode import decode_picture
from bundle.errors import ImageTooLarge
from bundle.image_header import ImageFormat, sniff_format
from bundle.image_limits import ImageLimits
from bundle.jpeg_header import read_jpeg_header

SIDE: Final = 256  # of the longer side, in pixels
QUALITY: Final = 80
METHOD: Final = 1  # of WebP's 0 to 6: a tenth larger than the default's 4, in a third of its time
MEDIA_TYPE: Final = "image/webp"


@dataclass(frozen=True, slots=True)
class Look:
    """width, height: of the upright picture, in pixels.  thumbnail: WebP, its longer side 256 or the picture's own."""

    format: ImageFormat
    width: int
    height: int
    thumbnail: bytes


def look_at(data: bytes, limits: ImageLimits) -> Look:
    """Raises ImageError for bytes that no training could read: the whole picture is decoded, if at a smaller scale."""
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(f"image: expected at most {limits.max_bytes} bytes, found {len(data)}.")
    kind = sniff_format(data) if data else ImageFormat.JPEG  # no bytes: the decoder says it best
    if kind is not ImageFormat.JPEG or not data:
        picture = decode_picture(data, limits)
        return Look(kind, picture.width, picture.height, _thumbnail(picture, picture.width, picture.height))
    header = read_jpeg_header(data, limits)
    width, height = header.width, header.height
    if header.orientation > 4:
        width, height = height, width
    small = _small_size(width, height)
    picture = decode_picture(data, limits, min_size=(small[1], small[0]))
    return Look(kind, width, height, _thumbnail(picture, width, height))


def _small_size(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _thumbnail(picture: Image.Image, width: int, height: int) -> bytes:
    """width, height: of the picture in full."""
    size = _small_size(width, height)
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BILINEAR)  # which, in Pillow, averages when it makes smaller
    stream = io.BytesIO()
    picture.save(stream, "WEBP", quality=QUALITY, method=METHOD)
    return stream.getvalue()
