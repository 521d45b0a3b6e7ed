"""How large an image may be, in bytes and in pixels, before anything of it is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bundle.errors import CorruptImage, ImageTooLarge


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """max_bytes: of the file.  max_pixels: height times width of the decoded image.  max_side: the larger of the two.

    The side is bounded because resizing takes memory in proportion to it: 16 bytes a pixel and direction.
    """

    max_bytes: int = 64 * 1024**2
    max_pixels: int = 40_000_000
    max_side: int = 65_535


DEFAULT_LIMITS: Final = ImageLimits()


def check_pixels(height: int, width: int, limits: ImageLimits) -> None:
    """Raise ImageTooLarge or CorruptImage unless both sides are positive and within the limits."""
    if height < 1 or width < 1:
        raise CorruptImage(f"image: expected at least one pixel, found {width} x {height}. Send another image.")
    if height * width > limits.max_pixels:
        raise ImageTooLarge(
            f"image: expected at most {limits.max_pixels} pixels, found {width} x {height} = {height * width}."
            " Send a smaller image, or raise the limit."
        )
    if max(height, width) > limits.max_side:
        raise ImageTooLarge(
            f"image: expected sides of at most {limits.max_side} pixels, found {width} x {height}."
            " Send a smaller image."
        )


def read_image_file(path: Path, limits: ImageLimits = DEFAULT_LIMITS) -> bytes:
    """A file's bytes. Raises ImageTooLarge before reading one that is larger than the limit, OSError as usual."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if size > limits.max_bytes:
            raise ImageTooLarge(f"image: expected at most {limits.max_bytes} bytes, found {size}. Make it smaller.")
        file.seek(0)
        return file.read()
