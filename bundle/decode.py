"""Image bytes to RGB pixels, for six formats and no other. First version."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageOps

from bundle.errors import CorruptImage, EmptyImage, ImageTooLarge


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """The largest image that is decoded."""

    max_bytes: int = 64 * 1024**2
    max_pixels: int = 40_000_000


DEFAULT_LIMITS: Final = ImageLimits()


def decode_image(
    data: bytes, limits: ImageLimits = DEFAULT_LIMITS, min_size: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """Decode to (H, W, 3) uint8 RGB."""
    if not data:
        raise EmptyImage("image: expected bytes, found none. Send the image file's content.")
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(f"image: expected at most {limits.max_bytes} bytes, found {len(data)}. Send a smaller one.")
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")) as image:
            if image.width * image.height > limits.max_pixels:
                raise ImageTooLarge(
                    f"image: expected at most {limits.max_pixels} pixels, found {image.width * image.height}."
                )
            if image.format == "JPEG" and image.mode in ("RGB", "L") and image.getexif().get(0x0112, 1) == 1:
                h, w = min_size or (0, 0)
                return simplejpeg.decode_jpeg(data, "RGB", min_height=h, min_width=w)  # type: ignore[no-any-return]
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except ImageTooLarge:
        raise
    except Exception as error:
        raise CorruptImage(f"image: expected a readable image, found {error}.") from error
