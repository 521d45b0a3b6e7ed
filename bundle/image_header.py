"""Tell an image's format by its first bytes, and check what its header and structure claim. Never decodes.

For every format: the size in pixels first, then whatever its decoder would walk through in slow steps (chunks, blocks,
directories, frames), each counted and bounded. JPEG has its own module, `bundle.jpeg_header`.
"""

from __future__ import annotations

import struct
import zlib
from enum import StrEnum
from typing import Final

from bundle.errors import CorruptImage, ImageTooLarge, UnsupportedImage
from bundle.image_limits import ImageLimits, check_pixels

MAX_PIECES: Final = 65_536  # chunks of a PNG or WebP, strips or tiles of a TIFF
MAX_LOSSY_WEBP_BYTES: Final = 24 * 1024**2  # more than a second; cameras and programs write half of that at most
MAX_GIF_BLOCKS: Final = 4096  # Pillow joins a comment's blocks in quadratic time
MAX_FRAMES: Final = 1000
MAX_TIFF_TAGS: Final = 1000
MAX_RLE_PIXELS: Final = 2_000_000  # Pillow reads run-length coded BMP in steps of Python
MAX_RLE_BYTES: Final = 2 * 1024**2


class ImageFormat(StrEnum):
    """The six formats that are read, by Pillow's names."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WEBP"
    BMP = "BMP"
    TIFF = "TIFF"
    GIF = "GIF"


def sniff_format(data: bytes) -> ImageFormat:
    """The format that the first bytes tell of; a file's name plays no part. Raises UnsupportedImage."""
    if data.startswith(b"\xff\xd8\xff"):
        return ImageFormat.JPEG
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return ImageFormat.PNG
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return ImageFormat.WEBP
    if data.startswith((b"II*\0", b"MM\0*")):
        return ImageFormat.TIFF
    if data.startswith((b"GIF87a", b"GIF89a")):
        return ImageFormat.GIF
    if data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in _BMP_HEADER_BYTES:
        return ImageFormat.BMP
    found = next((name for magic, name in _OTHERS if magic in data[:512].lower()), "something else")
    raise UnsupportedImage(
        f"image: expected JPEG, PNG, WebP, BMP, TIFF or GIF, found {found}. Convert it, e.g. to JPEG or PNG."
    )


_BMP_HEADER_BYTES: Final = (12, 16, 40, 52, 56, 64, 108, 124)
_OTHERS: Final = (
    (b"ii+\0", "a BigTIFF"), (b"mm\0+", "a BigTIFF"), (b"8bps", "a Photoshop file"), (b"%pdf", "a PDF"),
    (b"%!ps", "PostScript"), (b"pk\3\4", "a zip archive"), (b"simple  =", "a FITS file"), (b"<svg", "SVG"),
    (b"<!doctype", "a web page"), (b"<html", "a web page"), (b"ftypavif", "AVIF"), (b"ftyphei", "HEIC"),
    (b"ftypmif1", "HEIC"), (b"jfif", "a damaged JPEG"),
)  # fmt: skip


def check_structure(data: bytes, kind: ImageFormat, limits: ImageLimits) -> None:
    """Check size and structure of a PNG, WebP, BMP, TIFF or GIF.

    Raises ImageTooLarge, UnsupportedImage or CorruptImage; a file that passes may still turn out damaged.
    """
    checks = {
        ImageFormat.PNG: _check_png, ImageFormat.WEBP: _check_webp, ImageFormat.BMP: _check_bmp,
        ImageFormat.TIFF: _check_tiff, ImageFormat.GIF: _check_gif,
    }  # fmt: skip
    try:
        checks[kind](data, limits)
    except (struct.error, IndexError) as error:
        raise _corrupt(kind, "a whole header", "a file that ends in it") from error


def _check_png(data: bytes, limits: ImageLimits) -> None:
    length, name, width, height = struct.unpack_from(">L4s2L", data, 8)
    if (length, name) != (13, b"IHDR"):
        raise _corrupt(ImageFormat.PNG, "its header first", repr(name))
    check_pixels(height, width, limits)
    at, view = 8, memoryview(data)
    for _ in range(MAX_PIECES):
        if at == len(data):
            return  # no end chunk: fine, if the pixels are all there
        length, name = struct.unpack_from(">L4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise _corrupt(ImageFormat.PNG, f"{length} bytes in a chunk", "a file that ends before", "Send all of it.")
        # Pillow leaves the checksums of pixel data unread
        if zlib.crc32(view[at + 4 : end - 4]) != struct.unpack_from(">L", data, end - 4)[0]:
            raise _corrupt(ImageFormat.PNG, "the right checksum in every chunk", "a wrong one")
        if name == b"IEND":
            return
        at = end
    raise _too_many(ImageFormat.PNG, f"{MAX_PIECES} chunks")


def _check_webp(data: bytes, limits: ImageLimits) -> None:
    name = data[12:16]
    if name == b"VP8X":
        check_pixels(1 + int.from_bytes(data[27:30], "little"), 1 + int.from_bytes(data[24:27], "little"), limits)
    elif name == b"VP8 ":
        width, height = struct.unpack_from("<2H", data, 26)
        check_pixels(height & 0x3FFF, width & 0x3FFF, limits)
    elif name == b"VP8L":
        (bits,) = struct.unpack_from("<L", data, 21)
        check_pixels(1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF), limits)
    else:
        raise _corrupt(ImageFormat.WEBP, "a VP8 picture", repr(name))
    at, end, frames = 12, min(len(data), 8 + struct.unpack_from("<L", data, 4)[0]), 0
    for _ in range(MAX_PIECES):
        if at + 8 > end:
            return
        name, length = struct.unpack_from("<4sL", data, at)
        if name == b"VP8 " and length > MAX_LOSSY_WEBP_BYTES:
            raise ImageTooLarge(
                f"WEBP image: expected at most {MAX_LOSSY_WEBP_BYTES} bytes of a lossy picture, found {length}. Save it"
                " with a lower quality, or as a JPEG."
            )
        frames += name == b"ANMF"
        if frames > MAX_FRAMES:
            raise _too_many(ImageFormat.WEBP, f"{MAX_FRAMES} frames")
        at += 8 + length + length % 2
    raise _too_many(ImageFormat.WEBP, f"{MAX_PIECES} chunks")


def _check_bmp(data: bytes, limits: ImageLimits) -> None:
    (header_size,) = struct.unpack_from("<L", data, 14)
    if header_size == 12:
        width, height = struct.unpack_from("<2H", data, 18)
        compression = 0
    else:
        width, height, _, _, compression = struct.unpack_from("<2l2HL", data, 18)
    check_pixels(abs(height), width, limits)
    if compression in (1, 2) and (abs(height) * width > MAX_RLE_PIXELS or len(data) > MAX_RLE_BYTES):
        raise ImageTooLarge(
            f"BMP image: expected at most {MAX_RLE_PIXELS} pixels and {MAX_RLE_BYTES} bytes where it is run-length"
            " coded, found more. Save it without compression, or as PNG."
        )


def _check_gif(data: bytes, limits: ImageLimits) -> None:
    width, height, flags = struct.unpack_from("<2HB", data, 6)
    check_pixels(height, width, limits)
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    in_extension = False
    for _ in range(MAX_GIF_BLOCKS):
        if in_extension:  # sub-blocks: a length and so many bytes, until a length of 0
            in_extension = data[at] != 0
            at += 1 + data[at]
        elif data[at] == 0x21:
            at, in_extension = at + 2, True
        elif data[at] == 0x2C:  # the first picture, which may be larger than the screen
            left, top, own_width, own_height = struct.unpack_from("<4H", data, at + 1)
            check_pixels(own_height, own_width, limits)
            check_pixels(max(height, top + own_height), max(width, left + own_width), limits)
            return
        elif data[at] == 0x3B:
            raise _corrupt(ImageFormat.GIF, "a picture", "none")
        else:
            at += 1  # decoders skip what they do not know byte by byte
    raise _too_many(ImageFormat.GIF, f"{MAX_GIF_BLOCKS} blocks before the picture")


def _check_tiff(data: bytes, limits: ImageLimits) -> None:
    order = "<" if data.startswith(b"II") else ">"
    (at,) = struct.unpack_from(f"{order}L", data, 4)
    _check_tiff_directory(data, at, order, limits)
    seen: set[int] = set()
    while at and len(seen) < MAX_FRAMES:
        if at in seen:
            raise _corrupt(ImageFormat.TIFF, "a list of pages that ends", "one that leads back to itself")
        seen.add(at)
        if at + 2 > len(data):
            return  # a later page is cut off; the first one is what counts
        (count,) = struct.unpack_from(f"{order}H", data, at)
        following = data[at + 2 + 12 * count : at + 6 + 12 * count]
        at = struct.unpack(f"{order}L", following)[0] if len(following) == 4 else 0


def _check_tiff_directory(data: bytes, at: int, order: str, limits: ImageLimits) -> None:
    """Check the directory of the first page: its number of tags, what they claim to hold, the picture's size."""
    (count,) = struct.unpack_from(f"{order}H", data, at)
    if count > MAX_TIFF_TAGS:
        raise _too_many(ImageFormat.TIFF, f"{MAX_TIFF_TAGS} tags")
    values: dict[int, int] = {}
    held = 0
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, items, value = struct.unpack_from(f"{order}2H2L", data, entry)
        held += items * _TIFF_TYPE_BYTES.get(kind, 1)
        if tag in _TIFF_PIECES and items > MAX_PIECES:
            raise _too_many(ImageFormat.TIFF, f"{MAX_PIECES} strips or tiles")
        values[tag] = struct.unpack_from(f"{order}H", data, entry + 8)[0] if kind == 3 else value
    if held > 2 * len(data):
        raise _corrupt(ImageFormat.TIFF, "tags that fit into the file", f"{held} bytes of them")
    if 256 not in values or 257 not in values:
        raise _corrupt(ImageFormat.TIFF, "a width and a height", "none")
    check_pixels(values[257], values[256], limits)
    if values.get(322, 1) * values.get(323, 1) > max(limits.max_pixels, 1):
        raise _corrupt(ImageFormat.TIFF, "tiles within the size limit", f"{values[322]} x {values[323]}")


_TIFF_TYPE_BYTES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_TIFF_PIECES: Final = {273, 279, 324, 325}  # offsets and lengths of strips and tiles


def _corrupt(kind: ImageFormat, expected: str, found: str, todo: str = "Send the original file.") -> CorruptImage:
    return CorruptImage(f"{kind.value} image: expected {expected}, found {found}. {todo}")


def _too_many(kind: ImageFormat, limit: str) -> ImageTooLarge:
    return ImageTooLarge(
        f"{kind.value} image: expected at most {limit}, found more. Save it anew, as one plain picture."
    )
