"""The images that are sent: JPEGs of a wanted size in pixels and bytes, made of real photographs, the same every time.

Each is a collage of TrashNet photos at their own resolution, so that it has a photograph's detail for every pixel; the
JPEG quality is the one that comes nearest to the wanted number of bytes. Without the photos (a smoke run), of noise.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

COUNT = 16
TILE = (320, 240)  # (width, height) of one photo's part; they are 341 x 256
BYTES_A_PIXEL = {(640, 480): 0.31}  # 95 KB; what cameras write for larger pictures:
BYTES_A_PIXEL_ELSE = 0.25
QUALITIES = range(50, 97)

Size = tuple[int, int]  # (width, height)


def parse_size(text: str) -> Size:
    """`640x480` -> (640, 480). Raises ValueError."""
    width, _, height = text.partition("x")
    return int(width), int(height)


def make_photos(size: Size, photos: list[Path], count: int = COUNT, seed: int = 0) -> list[bytes]:
    """JPEGs, all different. photos: files to make them of; none for synthetic ones."""
    draw = np.random.default_rng((seed, *size))
    wanted = int(size[0] * size[1] * BYTES_A_PIXEL.get(size, BYTES_A_PIXEL_ELSE))
    pictures = (_collage(size, photos, draw) if photos else _synthetic(size, draw) for _ in range(count))
    return [_encode(picture, wanted) for picture in pictures]


def _collage(size: Size, photos: list[Path], draw: np.random.Generator) -> Image.Image:
    places = [(x, y) for y in range(0, size[1], TILE[1]) for x in range(0, size[0], TILE[0])]
    picture = Image.new("RGB", size)
    for place, number in zip(places, draw.choice(len(photos), len(places), replace=False), strict=True):
        with Image.open(photos[number]) as photo:
            left, top = (photo.width - TILE[0]) // 2, (photo.height - TILE[1]) // 2
            picture.paste(photo.convert("RGB").crop((left, top, left + TILE[0], top + TILE[1])), place)
    return picture


def _synthetic(size: Size, draw: np.random.Generator) -> Image.Image:
    """A photograph's mix of smooth parts and fine noise."""
    coarse = draw.integers(0, 255, (size[1] // 16 + 1, size[0] // 16 + 1, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC), np.int16)
    noisy = smooth + draw.integers(-8, 8, smooth.shape, dtype=np.int16)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def _encode(picture: Image.Image, wanted: int) -> bytes:
    """The JPEG (4:2:0) nearest to `wanted` bytes; quality and size grow together."""
    low, high = QUALITIES[0], QUALITIES[-1]
    while low < high:
        middle = (low + high) // 2
        if len(_jpeg(picture, middle)) < wanted:
            low = middle + 1
        else:
            high = middle
    return min((_jpeg(picture, quality) for quality in (low - 1, low)), key=lambda data: abs(len(data) - wanted))


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality, subsampling="4:2:0")
    return out.getvalue()
