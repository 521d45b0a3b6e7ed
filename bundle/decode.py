"""Image bytes to RGB pixels, for six formats and no other.

In this order: size in bytes, format by its first bytes, size in pixels and structure from the header, and only then the
decoder: libjpeg-turbo (through simplejpeg) for JPEG, Pillow for the rest and for the rare JPEG that simplejpeg cannot
take. Then the first frame alone, to 8-bit RGB, upright. See docs/adr/0002-decoder.md.
Never raises anything but an ImageError for any bytes, never decodes a picture above the limits, and never invents
pixels: data that ends early is refused, only a missing end marker is forgiven. (Where a JPEG has oddities outside its
picture that simplejpeg stops at, Pillow decodes it, and damage inside as well may then show as grey.)

How unusual pixels become 8-bit RGB: transparency lies on white; 16 bits lose their lower 8; CMYK JPEG is taken as
inverted, as browsers do; floats within 0..1 are scaled by 255; other floats and wider integers go linearly from their
own minimum and maximum to 0..255, except integers within 0..65535, which count as 16 bits; colour profiles are ignored.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable
from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import (  # loading the plugins here keeps Pillow from loading all forty when it meets the first WebP or TIFF
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from bundle.errors import CorruptImage, EmptyImage, ImageError, ImageTooLarge
from bundle.image_header import ImageFormat, check_structure, sniff_format
from bundle.image_limits import DEFAULT_LIMITS, ImageLimits, check_pixels
from bundle.jpeg_header import JpegHeader, exif_orientation, read_jpeg_header

__all__ = ["DEFAULT_LIMITS", "ImageLimits", "decode_image", "decode_picture"]

_PLUGINS: Final = (
    BmpImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin,
)  # fmt: skip
# Pillow remarks on odd files, each time in other words: that would fill the log, and the registry that Python keeps of
# the remarks it has shown. Its warnings of decompression bombs are no UserWarnings and stay.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

_T = Image.Transpose
_UPRIGHT: Final[dict[int, Image.Transpose]] = {
    2: _T.FLIP_LEFT_RIGHT, 3: _T.ROTATE_180, 4: _T.FLIP_TOP_BOTTOM, 5: _T.TRANSPOSE, 6: _T.ROTATE_270,
    7: _T.TRANSVERSE, 8: _T.ROTATE_90,
}  # fmt: skip
_DCT_SCALES: Final = (8, 4, 2)  # the others that libjpeg-turbo knows (7/8, 3/8, ...) are slower than decoding in full
_WIDE_CHUNK: Final = 2**18  # pixels of 32 bits scaled at once: as float64, 40 megapixels would take over a gigabyte
# How libjpeg-turbo's warnings about the picture's own data begin; after one of these, some pixels would be guesses.
_DAMAGE_WARNINGS: Final = ("Corrupt JPEG data", "Premature end", "Inconsistent progression")
_HARMLESS_DAMAGE: Final = "extraneous bytes before"  # padding between scans


def decode_image(
    data: bytes, limits: ImageLimits = DEFAULT_LIMITS, min_size: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """Decode one image file's bytes to a contiguous, writable (H, W, 3) uint8 RGB array, upright.

    min_size: (height, width) of the upright picture; a JPEG is then decoded at the smallest scale of 1/8, 1/4, 1/2 and
    1 with both sides at least that long. The same bytes and min_size always give the same pixels. Raises EmptyImage,
    ImageTooLarge, UnsupportedImage or CorruptImage.
    """
    return np.array(decode_picture(data, limits, min_size))


def decode_picture(
    data: bytes, limits: ImageLimits = DEFAULT_LIMITS, min_size: tuple[int, int] | None = None
) -> Image.Image:
    """`decode_image`, as a Pillow image of mode RGB."""
    if not data:
        raise EmptyImage("image: expected an image file's bytes, found none. Send the file's content.")
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(
            f"image: expected at most {limits.max_bytes} bytes, found {len(data)}."
            " Send a smaller image, or raise the limit."
        )
    kind = sniff_format(data)
    if kind is ImageFormat.JPEG:
        return _decode_jpeg(data, limits, min_size)
    check_structure(data, kind, limits)
    return _guarded(kind, lambda: _decode_with_pillow(data, kind, limits))


def _decode_jpeg(data: bytes, limits: ImageLimits, min_size: tuple[int, int] | None) -> Image.Image:
    header = read_jpeg_header(data, limits)
    minimum = (0, 0)
    if min_size is not None:
        minimum = _scaled_size(header, min_size[::-1] if header.orientation > 4 else min_size)
    picture = _guarded(ImageFormat.JPEG, lambda: _decode_jpeg_pixels(data, header, minimum, limits))
    turn = _UPRIGHT.get(header.orientation)
    return picture if turn is None else picture.transpose(turn)


def _scaled_size(header: JpegHeader, min_size: tuple[int, int]) -> tuple[int, int]:
    """The (height, width) that the smallest allowed scale decodes to; (0, 0), no minimum, means in full."""
    for scale in _DCT_SCALES:
        height, width = -(-header.height // scale), -(-header.width // scale)
        if height >= min_size[0] and width >= min_size[1]:
            return height, width
    return header.height, header.width


def _decode_jpeg_pixels(data: bytes, header: JpegHeader, minimum: tuple[int, int], limits: ImageLimits) -> Image.Image:
    try:
        pixels = _decode_turbo(data if header.ended else data + b"\xff\xd9", minimum)
    except ValueError as error:
        text = str(error)
        if any(warning in text for warning in _DAMAGE_WARNINGS) and _HARMLESS_DAMAGE not in text:
            raise CorruptImage(
                f"JPEG image: expected the whole picture, found damaged or missing data ({text[:80]})."
                " Send the original file."
            ) from error
        return _decode_with_pillow(data, ImageFormat.JPEG, limits, minimum)
    if pixels.shape[2] == 4:
        return Image.fromarray(~pixels, "CMYK").convert("RGB")
    return Image.fromarray(pixels)


def _decode_turbo(data: bytes, minimum: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, 3) RGB or (H, W, 4) CMYK. Raises ValueError for libjpeg-turbo's errors and warnings alike."""
    inks = simplejpeg.decode_jpeg_header(data)[2] in ("CMYK", "YCCK")
    pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
        data, "CMYK" if inks else "RGB", min_height=minimum[0], min_width=minimum[1]
    )
    return pixels


def _decode_with_pillow(
    data: bytes, kind: ImageFormat, limits: ImageLimits, minimum: tuple[int, int] = (0, 0)
) -> Image.Image:
    with Image.open(io.BytesIO(data), formats=(kind.value,)) as picture:
        check_pixels(picture.height, picture.width, limits)
        if kind is ImageFormat.JPEG and all(minimum):
            picture.draft(None, (minimum[1], minimum[0]))
        picture.load()
        upright: Image.Image = picture
        if kind in (ImageFormat.PNG, ImageFormat.WEBP):  # Pillow turns a TIFF itself; a JPEG is turned by its own path
            exif = picture.info.get("exif", b"")
            turn = _UPRIGHT.get(exif_orientation(exif.removeprefix(b"Exif\0\0")))
            upright = picture if turn is None else picture.transpose(turn)
        return _to_rgb(upright)


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8)).convert("RGB")
    if picture.mode in ("I", "F"):
        return Image.fromarray(_wide_to_bytes(np.asarray(picture))).convert("RGB")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        ground = Image.new("RGB", picture.size, "white")
        ground.paste(layer, mask=layer)
        return ground
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _wide_to_bytes(values: NDArray[np.int32] | NDArray[np.float32]) -> NDArray[np.uint8]:
    """32-bit integers or floats (H, W) to 0..255; see the module's docstring. Not-a-number counts as the minimum."""
    step = max(1, _WIDE_CHUNK // values.shape[1])
    chunks = [slice(at, at + step) for at in range(0, len(values), step)]
    ranges = [_finite_range(values[rows]) for rows in chunks]
    low, high = min((low for low, _ in ranges), default=math.inf), max((high for _, high in ranges), default=-math.inf)
    if low > high:  # nothing finite at all
        low = high = 0.0
    sixteen_bits = values.dtype.kind == "i" and low >= 0 and high <= 65535
    floor, ceiling = (0.0, 1.0) if values.dtype.kind == "f" and low >= 0 and high <= 1 else (low, high)
    result = np.empty(values.shape, np.uint8)
    for rows in chunks:
        if sixteen_bits:
            result[rows] = values[rows].astype(np.int64) >> 8
            continue
        numbers = _as_float64(values[rows])
        numbers[~np.isfinite(numbers)] = low
        result[rows] = np.rint((numbers - floor) * (255 / ((ceiling - floor) or 1)))
    return result


def _finite_range(values: NDArray[np.int32] | NDArray[np.float32]) -> tuple[float, float]:
    """The least and the greatest finite value; (inf, -inf) where there is none."""
    numbers = _as_float64(values)
    finite = np.isfinite(numbers)
    return float(numbers.min(where=finite, initial=math.inf)), float(numbers.max(where=finite, initial=-math.inf))


def _as_float64(values: NDArray[np.int32] | NDArray[np.float32]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):  # a signalling not-a-number
        return values.astype(np.float64)


def _guarded(kind: ImageFormat, decode: Callable[[], Image.Image]) -> Image.Image:
    """Whatever a decoder raises, as an ImageError; Pillow alone raises OSError, SyntaxError, ValueError and others."""
    try:
        return decode()
    except ImageError:
        raise
    except Exception as error:
        raise _as_image_error(kind, error) from error


def _as_image_error(kind: ImageFormat, error: Exception) -> ImageError:
    """The decoder's own text may hold memory addresses, so only its type is told."""
    if isinstance(error, MemoryError | Image.DecompressionBombError | Image.DecompressionBombWarning):
        return ImageTooLarge(
            f"{kind.value} image: expected one that fits into memory, found a larger one. Send a smaller image."
        )
    if isinstance(error, OSError) and "truncated" in str(error):
        return CorruptImage(
            f"{kind.value} image: expected the whole picture, found a file that ends early. Send the whole file."
        )
    return CorruptImage(
        f"{kind.value} image: expected one that can be read, found a damaged or very unusual one"
        f" ({type(error).__name__}). Send the original file, or save it as a usual JPEG or PNG."
    )
