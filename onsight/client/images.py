"""From what a program has in hand to an image file's bytes: bytes, a path, an open file, Pillow's image, an array.

Bytes and files travel as they are, and are decoded by the server alone. Pixels become a PNG, or a TIFF where they have
32 bits, which loses nothing.
Pillow and NumPy are imported only where one of theirs is given.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from bundle.errors import ImageError
from bundle.image_limits import ImageLimits, read_image_file
from onsight.client.errors import ImageUnreadable

LARGEST_FILE = ImageLimits(max_bytes=1 << 30)  # the server has a smaller limit of its own
_PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})
# Pillow's own forms of what a file can hold; every other mode becomes RGB.
_SAME_AS = {"I;16B": "I", "I;16L": "I", "I;16N": "I", "La": "LA", "PA": "RGBA", "RGBa": "RGBA"}


class BinaryFile(Protocol):
    """An open file, or anything else that reads bytes."""

    def read(self) -> bytes: ...


if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    ImageInput: TypeAlias = (
        bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryFile | Image | NDArray[np.uint8]
    )


def name_of(image: object) -> str:
    """The path as given, or an open file's name; "" for bytes and pixels."""
    if isinstance(image, str | os.PathLike):
        return os.fsdecode(image)
    name = getattr(image, "name", "")
    return name if isinstance(name, str) else ""


def is_at_hand(image: object) -> bool:
    """Whether `read_image` takes no time worth a thread of its own."""
    return isinstance(image, bytes)


def read_image(image: ImageInput) -> bytes:
    """An image file's bytes.

    image: a file's bytes; a path; a file opened in binary mode, read from where it stands; an image of Pillow, turned
    upright as its EXIF tag says; or (H, W), (H, W, 3) or (H, W, 4) uint8 pixels, grey, RGB or RGBA.
    Raises ImageUnreadable where a file cannot be read; TypeError and ValueError for what can be no image.
    """
    if isinstance(image, bytes):
        return image
    if isinstance(image, bytearray | memoryview):
        return bytes(image)
    if isinstance(image, str | os.PathLike):
        return _from_path(Path(image))
    pixels: Any = image
    if _is_a("PIL.Image", "Image", image):
        return _encoded(pixels)
    if _is_a("numpy", "ndarray", image):
        return _encoded(_from_array(pixels))
    if not callable(getattr(image, "read", None)):
        raise TypeError(
            "image: expected bytes, a path, an open binary file, a Pillow image or a uint8 array, found"
            f" {type(image).__name__}."
        )
    return _from_file(pixels)


def _from_path(path: Path) -> bytes:
    try:
        return read_image_file(path, LARGEST_FILE)
    except OSError as error:
        raise ImageUnreadable(f"the file cannot be read: {error.strerror or error}") from error
    except ImageError as error:
        raise ImageUnreadable(str(error), code=error.code) from error


def _from_file(file: BinaryFile) -> bytes:
    try:
        data: object = file.read()
    except (OSError, ValueError) as error:  # ValueError: it is closed, or text that is no UTF-8
        raise ImageUnreadable(f"the file cannot be read: {error}") from error
    if isinstance(data, bytes):
        return data
    raise TypeError(f'image: expected a file opened in binary mode ("rb"), found one that reads {type(data).__name__}.')


def _is_a(module: str, kind: str, value: object) -> bool:
    """isinstance without an import: where the module is not loaded, nobody has an object of its kind."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(value, getattr(loaded, kind))


def _from_array(array: NDArray[Any]) -> Image:
    from PIL import Image

    fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != "uint8" or not fits or not array.size:
        raise ValueError(
            "image: expected uint8 pixels of shape (H, W), (H, W, 3) or (H, W, 4), found"
            f" {array.dtype} {array.shape}. Scale floats to 0..255 first."
        )
    return Image.fromarray(array)


def _encoded(picture: Image) -> bytes:
    from PIL import ImageOps

    out = io.BytesIO()
    try:
        upright = ImageOps.exif_transpose(picture)
        known = (
            upright if upright.mode in {*_PNG_MODES, "I", "F"} else upright.convert(_SAME_AS.get(upright.mode, "RGB"))
        )
        if known.mode in ("I", "F"):  # 32 bits a pixel, which the server scales as it does those of a file
            known.save(out, "TIFF", exif=b"")
        else:
            known.save(out, "PNG", compress_level=1, exif=b"")
    except (OSError, SyntaxError, ValueError) as error:  # Pillow reads a lazily opened file only now
        raise ImageUnreadable(f"the image cannot be read: {error}") from error
    return out.getvalue()
