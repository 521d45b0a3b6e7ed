"""The hostile and the merely unusual images that every door must survive, built by code.

`seeds()` maps a name to (file bytes, whether a prediction is the right answer; otherwise an ImageError is). Other test
suites send the same bytes through their own doors.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from functools import lru_cache

import numpy as np
from PIL import Image

Seed = tuple[bytes, bool]


@lru_cache(maxsize=1)
def seeds() -> dict[str, Seed]:
    """Every seed, by name. The same bytes in every process."""
    return {**_framing(), **_jpeg(), **_png(), **_other()}


def picture(height: int = 64, width: int = 80) -> Image.Image:
    """A smooth RGB picture without any symmetry: a wrong turn or a swapped channel shows."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    red, green, blue = 255 * x / width, 255 * y / height, 127 + 60 * np.sin(x / 9) + 60 * np.cos(y / 5)
    return Image.fromarray(np.stack([red, green, blue], axis=2).astype(np.uint8))


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def exif(orientation: int) -> bytes:
    """An EXIF block (with its prefix) that holds an orientation alone."""
    entry = struct.pack("<2HLHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0II*\0" + struct.pack("<LH", 8, 1) + entry + struct.pack("<L", 0)


def jpeg_segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def insert_after_start(jpeg: bytes, *segments: bytes) -> bytes:
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))


def png(width: int, height: int, rows: bytes, bits: int = 8, colour: int = 2, *extra: bytes) -> bytes:
    """A PNG from filtered rows; `extra` chunks stand before the pixels."""
    header = struct.pack(">2L5B", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [png_chunk(b"IHDR", header), *extra, png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"IEND", b"")]
    )


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """`image` as a camera held otherwise stores it: a viewer that obeys `orientation` shows `image` again."""
    turn = Image.Transpose
    inverse = {2: turn.FLIP_LEFT_RIGHT, 3: turn.ROTATE_180, 4: turn.FLIP_TOP_BOTTOM, 5: turn.TRANSPOSE,
               6: turn.ROTATE_90, 7: turn.TRANSVERSE, 8: turn.ROTATE_270}  # fmt: skip
    return image.transpose(inverse[orientation]) if orientation in inverse else image


def _framing() -> dict[str, Seed]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("picture.jpg", encode(picture(), "JPEG"))
    return {
        "0 bytes": (b"", False),
        "1 byte": (b"\xff", False),
        "JPEG magic only": (b"\xff\xd8\xff", False),
        "PNG magic only": (b"\x89PNG\r\n\x1a\n", False),
        "text": (b"BMI charts and other plain text, of no image at all.\n" * 20, False),
        "HTML": (b"<!DOCTYPE html><html><body><img src='x.jpg'></body></html>", False),
        "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", False),
        "PDF": (b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n", False),
        "ZIP polyglot": (archive.getvalue(), False),
        "PNG under a JPEG's name": (encode(picture(), "PNG"), True),
        "10 MB of trailing bytes": (encode(picture(), "JPEG") + b"\xa5" * 10_000_000, True),
    }


def _jpeg() -> dict[str, Seed]:
    base = encode(picture(), "JPEG", quality=90)
    scan = base.index(b"\xff\xda")
    tables = base.index(b"\xff\xc4")
    frame = base.index(b"\xff\xc0")
    twelve_bit = base[: frame + 4] + b"\x0c" + base[frame + 5 :]
    broken_table = base[: tables + 5] + b"\xff" * 16 + base[tables + 21 :]
    profile = b"".join(
        jpeg_segment(0xE2, b"ICC_PROFILE\0" + bytes([1 + i % 255, 255]) + b"\0" * 65000) for i in range(250)
    )
    loop = b"Exif\0\0II*\0" + struct.pack("<LH2HLLL", 8, 1, 0x8769, 4, 1, 8, 8)  # a directory that holds itself
    widest = encode(picture(1, 65500), "JPEG")  # what libjpeg writes and reads at most
    frames = io.BytesIO()
    picture().save(frames, "MPO", save_all=True, append_images=[picture(32, 40)])
    found: dict[str, Seed] = {
        "JPEG, truncated header": (base[: scan - 7], False),
        "JPEG, truncated scan": (base[: scan + (len(base) - scan) // 2], False),
        "JPEG, no end marker": (base[:-2], True),
        "JPEG, CMYK": (encode(picture().convert("CMYK"), "JPEG"), True),
        "JPEG, Adobe-inverted CMYK (YCCK)": (_ycck(), True),
        "JPEG, progressive with 1,000 scans": (_many_scans(1000), False),
        "JPEG, 12-bit": (twelve_bit, False),
        "JPEG, 65500 x 1": (widest, True),
        "JPEG, 65535 x 1": (widest.replace(struct.pack(">2H", 1, 65500), struct.pack(">2H", 1, 65535), 1), False),
        "JPEG, corrupt Huffman table": (broken_table, False),
        "JPEG, EXIF loop": (insert_after_start(base, jpeg_segment(0xE1, loop)), True),
        "JPEG, 16 MB ICC profile": (insert_after_start(base, profile), False),
        "MPO": (frames.getvalue(), True),
    }
    for orientation in range(1, 9):
        stored = turned(picture(), orientation)
        jpeg = encode(stored, "JPEG", quality=95, subsampling=0)
        found[f"JPEG, EXIF orientation {orientation}"] = (
            insert_after_start(jpeg, jpeg_segment(0xE1, exif(orientation))),
            True,
        )
    return found


def _ycck() -> bytes:
    """A four-component JPEG whose Adobe marker says YCCK (transform 2): inks as YCbCr, and inverted black."""
    *inks, black = picture().convert("CMYK").split()
    luma_chroma = Image.merge("RGB", inks).convert("YCbCr").split()
    planes = [plane.point(lambda value: 255 - value) for plane in luma_chroma]  # Pillow inverts what it writes
    cmyk = encode(Image.merge("CMYK", [*planes, black]), "JPEG", quality=95)
    adobe = cmyk.index(b"Adobe")
    return cmyk[: adobe + 11] + b"\x02" + cmyk[adobe + 12 :]


def _many_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan, a refinement, stands there again and again."""
    base = encode(picture(480, 640), "JPEG", progressive=True, quality=30)
    last = base.rindex(b"\xff\xda")
    return base[:last] + base[last:-2] * count + b"\xff\xd9"


def _png() -> dict[str, Seed]:
    base = encode(picture(), "PNG")
    data = base.index(b"IDAT") + 10
    bomb = zlib.compressobj(6)
    row = b"\0" * 13001
    pixels = b"".join([*(bomb.compress(row * 1000) for _ in range(13)), bomb.flush()])
    header = struct.pack(">2L5B", 13000, 13000, 8, 0, 0, 0, 0)
    magic = b"\x89PNG\r\n\x1a\n"
    grey16 = (np.asarray(picture().convert("L"), np.uint16) << 8) + 255
    palette = picture().quantize(16)
    text_bomb = png_chunk(b"zTXt", b"comment\0\0" + zlib.compress(b"\0" * 50_000_000))
    rows = b"".join(b"\0" + row.tobytes() for row in np.asarray(picture()))
    animated = io.BytesIO()
    picture().save(animated, "PNG", save_all=True, append_images=[Image.new("RGB", (80, 64))], duration=100)
    return {
        "PNG, bad CRC": (base[:data] + bytes([base[data] ^ 1]) + base[data + 1 :], False),
        "PNG, 169-megapixel bomb": (
            magic + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b""), False),
        "PNG, width 2^31": (png(2**31, 1, b"\0" * 100), False),
        "PNG, zero height": (png(80, 0, b""), False),
        "PNG, 16-bit grey": (encode(Image.fromarray(grey16), "PNG"), True),
        "PNG, palette with tRNS": (encode(palette, "PNG", transparency=bytes([0, 128] + [255] * 14)), True),
        "PNG, interlaced": (_interlaced(), True),
        "PNG, zTXt bomb": (png(80, 64, rows, 8, 2, text_bomb), False),
        "APNG": (animated.getvalue(), True),
        "PNG, 1-bit": (encode(picture().convert("1"), "PNG"), True),
    }  # fmt: skip


def _interlaced() -> bytes:
    """Adam7 by hand: seven smaller pictures, one after the other (Pillow does not write it)."""
    image = np.asarray(picture())
    passes = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
    rows = b"".join(b"\0" + row.tobytes() for top, down, left, right in passes for row in image[top::down, left::right])
    header = struct.pack(">2L5B", 80, 64, 8, 2, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [png_chunk(b"IHDR", header), png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"IEND", b"")]
    )


def _other() -> dict[str, Seed]:
    frames = [picture().rotate(10 * i) for i in range(1, 4)]
    bmp = encode(picture(), "BMP")
    tiff = encode(picture(), "TIFF")
    (directory,) = struct.unpack_from("<L", tiff, 4)
    (count,) = struct.unpack_from("<H", tiff, directory)
    next_at = directory + 2 + 12 * count
    looped = tiff[:next_at] + struct.pack("<L", directory) + tiff[next_at + 4 :]
    upside_down = np.asarray(picture())[::-1]
    flipped = bytearray(encode(Image.fromarray(upside_down), "BMP"))
    flipped[22:26] = struct.pack("<l", -64)
    grey = np.asarray(picture().convert("L"), np.float32) / 255
    assert bmp[22:26] == struct.pack("<l", 64)
    return {
        "GIF, animated": (encode(picture(), "GIF", save_all=True, append_images=frames), True),
        "WebP of 10,000 frames": (_long_webp(10_000), False),
        "TIFF, directory loop": (looped, False),
        "TIFF, float32": (encode(Image.fromarray(grey), "TIFF"), True),
        "BigTIFF, tiled": (_tiled_bigtiff(), False),
        "BMP, negative height": (bytes(flipped), True),
        "FITS in disguise": (b"SIMPLE  =                    T".ljust(2880), False),
        "EPS in disguise": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", False),
        "PSD in disguise": (b"8BPS" + struct.pack(">H6xHLLHH", 1, 3, 64, 80, 8, 3) + b"\0" * 64, False),
    }


def _long_webp(count: int) -> bytes:
    """An animation whose every frame is the same small lossless picture."""
    still = encode(Image.new("RGB", (16, 16), "teal"), "WEBP", lossless=True)
    body = still[12:]
    body += b"\0" * (len(body) % 2)
    frame = b"\0" * 6 + (15).to_bytes(3, "little") * 2 + (10).to_bytes(3, "little") + b"\0" + body
    chunks = b"VP8X" + struct.pack("<LL", 10, 0x02) + (15).to_bytes(3, "little") * 2
    chunks += b"ANIM" + struct.pack("<LLH", 6, 0, 0)
    chunks += (b"ANMF" + struct.pack("<L", len(frame)) + frame) * count
    return b"RIFF" + struct.pack("<L", 4 + len(chunks)) + b"WEBP" + chunks


def _tiled_bigtiff() -> bytes:
    """One grey tile of 64 x 64 behind a BigTIFF directory."""
    tags = [(256, 4, 64), (257, 4, 64), (258, 3, 8), (259, 3, 1), (262, 3, 1), (277, 3, 1), (322, 4, 64), (323, 4, 64),
            (324, 16, 300), (325, 16, 64 * 64)]  # fmt: skip
    directory = struct.pack("<Q", len(tags))
    for tag, kind, value in tags:
        directory += struct.pack("<HHQQ", tag, kind, 1, value)
    head = b"II+\0" + struct.pack("<HHQ", 8, 0, 16) + directory + struct.pack("<Q", 0)
    return head.ljust(300, b"\0") + np.asarray(picture(64, 64).convert("L")).tobytes()
