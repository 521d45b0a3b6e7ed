"""Read what stands around a JPEG's compressed data: size, orientation, number of scans, end. Never decodes.

Walks the marker segments once and counts as it goes, since the cost of decoding a progressive JPEG is its pixels times
its scans, and a small file can hold many of them.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Final

from bundle.errors import CorruptImage, ImageTooLarge, UnsupportedImage
from bundle.image_limits import ImageLimits, check_pixels

MAX_SEGMENTS: Final = 4096
MAX_METADATA_BYTES: Final = 12 * 1024**2  # before the picture itself: EXIF, XMP, colour profile
MAX_SCANS: Final = 100
MAX_SCANNED_PIXELS: Final = 1_200_000_000  # pixels times scans: 30 scans of 40 megapixels, about a second

# Compressed bytes of a progressive picture: 32 MiB take a second and more. Cameras write a third of that for the
# largest picture that is accepted. Half of it where there are four inks, which cost as much again afterwards.
MAX_PROGRESSIVE_BYTES: Final = 32 * 1024**2

MAX_SIDE: Final = 65_500  # libjpeg's own limit

_PROGRESSIVE: Final = 0xC2
_ENCODINGS: Final = {0xC0, 0xC1, _PROGRESSIVE}  # baseline, extended, progressive
_OTHER_FRAMES: Final = {*range(0xC3, 0xD0)} - {0xC4, 0xC8, 0xCC}  # lossless, hierarchical, arithmetic-coded
_STANDALONE: Final = {0x01, *range(0xD0, 0xD8)}  # markers without a length
_NEXT_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # in compressed data: neither stuffing nor a restart
_ANY_MARKER: Final = re.compile(rb"\xff[^\x00\xff]")
_EXIF: Final = b"Exif\0\0"


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """Size as stored, before orientation. orientation: 1 to 8 as in EXIF. ended: an end marker was found."""

    height: int
    width: int
    orientation: int
    ended: bool


def read_jpeg_header(data: bytes, limits: ImageLimits) -> JpegHeader:
    """Walk the segments of a JPEG that begins with its start marker.

    Raises ImageTooLarge (pixels, metadata, scans), UnsupportedImage (not 8 bits, lossless), CorruptImage.
    """
    height = width = components = encoding = 0
    orientation = 1
    segments, at = 0, 2
    while True:
        marker, at = _marker(data, at)
        segments += 1
        if segments > MAX_SEGMENTS:
            raise CorruptImage(_text(f"at most {MAX_SEGMENTS} segments before the picture", "more"))
        if marker in _STANDALONE:
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        body, end = at + 2, at + length
        if marker == 0xD9 or length < 2 or end > len(data):
            raise CorruptImage(_text("a picture", "a file that ends in its header", "Send the whole file."))
        if end > MAX_METADATA_BYTES:
            raise _too_much_metadata()
        if marker in _OTHER_FRAMES:
            raise UnsupportedImage(
                _text("a baseline or progressive JPEG", "a lossless, hierarchical or arithmetic-coded one")
            )
        if marker in _ENCODINGS:
            if encoding or length < 8:
                raise CorruptImage(_text("one frame header", "another"))
            encoding = marker
            precision, height, width, components = struct.unpack_from(">BHHB", data, body)
            if precision != 8:
                raise UnsupportedImage(_text("8 bits a sample", f"{precision}"))
            check_pixels(height, width, limits)
            if max(height, width) > MAX_SIDE:
                raise UnsupportedImage(_text(f"sides of at most {MAX_SIDE} pixels", f"{width} x {height}"))
        elif marker == 0xE1 and data.startswith(_EXIF, body):
            orientation = exif_orientation(data[body + len(_EXIF) : end])
        elif marker == 0xDA:
            if not encoding:
                raise CorruptImage(_text("a frame header before the picture", "none"))
            at = end
            break
        at = end
    if encoding == _PROGRESSIVE and len(data) - at > (most := MAX_PROGRESSIVE_BYTES // (2 if components == 4 else 1)):
        raise ImageTooLarge(_text(f"at most {most} bytes where it is progressive", "more", "Save it as a usual JPEG."))
    if encoding != _PROGRESSIVE and data[body : body + 1] == bytes([components]):
        ended = data.rfind(b"\xff\xd9", at) >= 0  # one scan holds everything: no need to look through it
    else:
        ended = _count_scans(data, at, height * width)
    return JpegHeader(height, width, orientation, ended)


def exif_orientation(tiff: bytes) -> int:
    """The orientation, 1 to 8, that the first directory of an EXIF block tells of; 1 where it is absent or garbage.

    tiff: the block without its "Exif" prefix. Only this directory is looked at, so no loop of directories can matter.
    """
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return 1
    (start,) = struct.unpack_from(f"{order}L", tiff, 4)
    if start + 2 > len(tiff):
        return 1
    (count,) = struct.unpack_from(f"{order}H", tiff, start)
    for at in range(start + 2, min(start + 2 + 12 * count, len(tiff) - 11), 12):
        tag, kind = struct.unpack_from(f"{order}2H", tiff, at)
        if tag == 0x0112:
            value = struct.unpack_from(f"{order}{'L' if kind == 4 else 'H'}", tiff, at + 8)[0]
            return int(value) if 1 <= value <= 8 else 1
    return 1


def _marker(data: bytes, at: int) -> tuple[int, int]:
    """The marker at `at` (fill bytes and, as decoders do, garbage before it are skipped) and the offset behind it."""
    found = _ANY_MARKER.search(data, at, MAX_METADATA_BYTES)
    if found is None and len(data) > MAX_METADATA_BYTES:
        raise _too_much_metadata()
    if found is None:
        raise CorruptImage(_text("a picture", "a file that ends in its header", "Send the whole file."))
    return data[found.end() - 1], found.end()


def _count_scans(data: bytes, at: int, pixels: int) -> bool:
    """Look through every scan from `at` on; whether an end marker follows. Raises ImageTooLarge or CorruptImage."""
    scans = 1
    for _ in range(MAX_SEGMENTS):
        found = _NEXT_MARKER.search(data, at)
        if found is None or data[found.end() - 1] == 0xD9:
            return found is not None
        at = found.end()
        if data[at - 1] == 0xDA:
            scans += 1
            if scans > MAX_SCANS or scans * pixels > MAX_SCANNED_PIXELS:
                raise ImageTooLarge(
                    _text(f"at most {MAX_SCANS} scans, fewer in a large image", f"{scans} or more", "Save it anew.")
                )
        at += int.from_bytes(data[at : at + 2], "big")
    raise CorruptImage(_text(f"at most {MAX_SEGMENTS} segments between scans", "more"))


def _too_much_metadata() -> ImageTooLarge:
    return ImageTooLarge(_text(f"at most {MAX_METADATA_BYTES} bytes before the picture", "more", "Remove metadata."))


def _text(expected: str, found: str, todo: str = "Save it as a usual JPEG or PNG.") -> str:
    return f"JPEG image: expected {expected}, found {found}. {todo}"
