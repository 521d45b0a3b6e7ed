"""What a program may hand to the client, and what becomes of it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bundle.decode import decode_image
from onsight import ImageUnreadable
from onsight.client.images import name_of, read_image

PIXELS = np.random.default_rng(7).integers(0, 256, (6, 8, 3), np.uint8)


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def test_bytes_paths_and_files_travel_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(b"any bytes")
    with path.open("rb") as file:
        given: list[Any] = [b"any bytes", bytearray(b"any bytes"), memoryview(b"any bytes"), path, str(path), file]
        assert [read_image(each) for each in given] == [b"any bytes"] * 6
        assert [name_of(each) for each in given] == ["", "", "", str(path), str(path), str(path)]
    assert read_image(io.BytesIO(b"any bytes")) == b"any bytes"


def test_an_array_is_rgb_and_arrives_pixel_for_pixel() -> None:
    assert np.array_equal(decode_image(read_image(PIXELS)), PIXELS)
    grey = PIXELS[:, :, 0]
    assert np.array_equal(decode_image(read_image(grey)), np.repeat(grey[:, :, None], 3, axis=2))
    assert np.array_equal(decode_image(read_image(PIXELS[::-1, ::2])), PIXELS[::-1, ::2])
    opaque = np.dstack([PIXELS, np.full((6, 8), 255, np.uint8)])
    assert np.array_equal(decode_image(read_image(opaque)), PIXELS)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB"])
def test_an_image_of_pillow_in_any_mode_is_one_that_the_server_reads(mode: str) -> None:
    picture = Image.fromarray(PIXELS).convert("RGB")
    picture = picture.convert(mode) if mode != "LAB" else Image.new("LAB", (8, 6))
    assert decode_image(read_image(picture)).shape == (6, 8, 3)


def test_an_image_that_pillow_opened_is_turned_as_the_server_turns_its_file() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    data = encoded(Image.fromarray(PIXELS), "PNG", exif=exif)
    with Image.open(io.BytesIO(data)) as picture:
        assert np.array_equal(decode_image(read_image(picture)), decode_image(data))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_32_bits_are_scaled_by_the_server_as_those_of_a_file_are(mode: str) -> None:
    picture = Image.fromarray(np.arange(48, dtype={"I": np.int32, "F": np.float32}[mode]).reshape(6, 8) * 1000)
    assert picture.mode == mode
    assert np.array_equal(decode_image(read_image(picture)), decode_image(encoded(picture, "TIFF")))


def test_a_file_of_16_bits_in_the_other_byte_order_gives_the_same_pixels_through_pillow() -> None:
    grey = np.random.default_rng(7).integers(0, 65536, (6, 8)).astype(">u2")
    data = encoded(Image.frombytes("I;16B", (8, 6), grey.tobytes()), "TIFF")
    assert np.array_equal(decode_image(data)[:, :, 0], grey >> 8)
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.mode == "I;16B"
        assert np.array_equal(decode_image(read_image(picture)), decode_image(data))


@pytest.mark.parametrize(("mode", "plain"), [("RGBa", "RGBA"), ("La", "LA")])
def test_transparency_that_is_multiplied_in_lies_on_white_as_the_plain_one_does(mode: str, plain: str) -> None:
    clear = np.dstack([PIXELS, np.full((6, 8), 128, np.uint8)])
    picture = Image.fromarray(clear).convert(plain)
    found, expected = (decode_image(read_image(each)).astype(int) for each in (picture.convert(mode), picture))
    assert np.abs(found - expected).max() <= 2  # the multiplication rounds


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "absent.jpg", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ImageUnreadable, match=f"the file cannot be read: {words}") as caught:
            read_image(path)
        assert (caught.value.status, caught.value.code) == (None, "IMAGE_UNREADABLE")
    closed = io.BytesIO(b"x")
    closed.close()
    with pytest.raises(ImageUnreadable, match="closed file"):
        read_image(closed)
    noise = np.random.default_rng(7).integers(0, 256, (50, 50, 3), np.uint8)
    broken = encoded(Image.fromarray(noise), "PNG")[:400]
    with Image.open(io.BytesIO(broken)) as picture, pytest.raises(ImageUnreadable, match="the image cannot be read"):
        read_image(picture)


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        (None, TypeError, "expected bytes, a path, .* found NoneType"),
        ([1, 2], TypeError, "found list"),
        (io.StringIO("x"), TypeError, 'opened in binary mode \\("rb"\\), found one that reads str'),
        (PIXELS.astype(np.float32), ValueError, "expected uint8 pixels of shape .* found float32 \\(6, 8, 3\\)"),
        (PIXELS[None], ValueError, "found uint8 \\(1, 6, 8, 3\\)"),
        (PIXELS[:0], ValueError, "found uint8 \\(0, 8, 3\\)"),
        (PIXELS[:, :, :2], ValueError, "found uint8 \\(6, 8, 2\\)"),
    ],
)
def test_what_can_be_no_image_is_the_programs_mistake(image: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        read_image(image)
