"""Bytes to the model's input: the shape, the pixels of the written-down recipe, and no surprise from orientation."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
import pytest
from bad_images import encode, exif, insert_after_start, jpeg_segment, picture, png, png_chunk, seeds, turned
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bundle.decode import ImageLimits, decode_image
from bundle.errors import ImageError, ImageTooLarge
from bundle.manifest import PreprocessSpec
from bundle.preprocess import crop_box, preprocess, resize

BILINEAR = Image.Resampling.BILINEAR


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
@pytest.mark.parametrize("how", ["squash", "center_crop"])
def test_every_format_becomes_the_models_shape(kind: str, how: str):
    array = preprocess(encode(picture(), kind), PreprocessSpec(height=24, width=40, resize=how))
    assert array.shape == (24, 40, 3)
    assert array.dtype == np.uint8
    assert array.flags.c_contiguous
    assert array.flags.writeable


def test_squash_is_pillows_bilinear_resize_of_the_whole_image():
    spec = PreprocessSpec(height=30, width=50)
    expected = np.asarray(picture(123, 211).resize((50, 30), BILINEAR))
    np.testing.assert_array_equal(preprocess(encode(picture(123, 211), "PNG"), spec), expected)


def test_center_crop_is_the_largest_centred_part_of_the_models_shape():
    spec = PreprocessSpec(height=32, width=32, resize="center_crop")
    assert crop_box(100, 200, spec) == (50, 0, 150, 100)
    assert crop_box(200, 100, spec) == (0, 50, 100, 150)
    expected = np.asarray(picture(100, 200).crop((50, 0, 150, 100)).resize((32, 32), BILINEAR))
    np.testing.assert_allclose(preprocess(encode(picture(100, 200), "PNG"), spec), expected, atol=3)


def test_crop_fraction_takes_the_middle_of_it():
    spec = PreprocessSpec(height=32, width=64, resize="center_crop", crop_fraction=0.5)
    assert crop_box(100, 200, spec) == (50, 25, 150, 75)


@settings(deadline=None, max_examples=500)
@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(8, 512), st.integers(8, 512), st.floats(0.01, 1))
def test_a_crop_never_leaves_the_image_and_keeps_the_models_shape(height, width, rows, columns, fraction):
    spec = PreprocessSpec(height=rows, width=columns, resize="center_crop", crop_fraction=fraction)
    left, top, right, bottom = crop_box(height, width, spec)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert (right - left) / (bottom - top) == pytest.approx(columns / rows)


def test_a_crop_whose_sides_round_to_just_outside_the_image_is_taken():
    spec = PreprocessSpec(height=209, width=82, resize="center_crop")
    assert 80 - 209 * min(80 / 209, 28 / 82) < 0 or 28 - 82 * min(80 / 209, 28 / 82) < 0  # what made Pillow refuse
    assert preprocess(encode(picture(80, 28), "PNG"), spec).shape == (209, 82, 3)


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 130), st.integers(1, 130), st.sampled_from([8, 9, 33, 64]), st.sampled_from([8, 17, 64]),
       st.sampled_from(["squash", "center_crop"]), st.floats(0.05, 1), st.sampled_from(["JPEG", "BMP"]))  # fmt: skip
def test_an_image_of_any_size_becomes_the_models_shape(height, width, rows, columns, how, fraction, kind):
    spec = PreprocessSpec(height=rows, width=columns, resize=how, crop_fraction=fraction)
    assert preprocess(encode(picture(height, width), kind), spec).shape == (rows, columns, 3)


@pytest.mark.parametrize("how", ["squash", "center_crop"])
def test_an_image_that_has_the_models_size_is_not_touched(how: str):
    spec = PreprocessSpec(height=64, width=80, resize=how)
    np.testing.assert_array_equal(preprocess(encode(picture(), "PNG"), spec), np.asarray(picture()))


@pytest.mark.parametrize(("version", "least"), [(1, 128), (2, 64)])
def test_a_large_jpeg_is_decoded_at_the_smallest_scale_that_the_spec_allows(version: Literal[1, 2], least: int):
    data = encode(picture(600, 800), "JPEG")
    scaled = PreprocessSpec(version=version, height=64, width=64)
    full = PreprocessSpec(height=64, width=64, jpeg_scaled_decode=False)
    np.testing.assert_array_equal(preprocess(data, scaled), resize(decode_image(data, min_size=(least, least)), scaled))
    np.testing.assert_array_equal(preprocess(data, full), resize(decode_image(data), full))
    difference = np.abs(preprocess(data, scaled).astype(int) - preprocess(data, full))
    assert 0 < difference.max() <= 12 * (3 - least // 64)  # other pixels, the same picture
    assert difference.mean() < 1.5


@pytest.mark.parametrize(("version", "side"), [(1, 120), (2, 120)])
def test_a_jpeg_that_is_too_small_to_be_scaled_is_decoded_in_full(version: Literal[1, 2], side: int):
    data = encode(picture(side, side), "JPEG")
    with_scale, without = (
        PreprocessSpec(version=version, height=64, width=64, jpeg_scaled_decode=on) for on in (True, False)
    )
    np.testing.assert_array_equal(preprocess(data, with_scale), preprocess(data, without))


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("how", ["squash", "center_crop"])
def test_all_eight_orientations_give_the_same_input(orientation: int, how: str):
    spec = PreprocessSpec(height=40, width=24, resize=how)

    def stored(value: int) -> bytes:
        image = turned(picture(), value)
        rows = b"".join(b"\0" + row.tobytes() for row in np.asarray(image))
        return png(image.width, image.height, rows, 8, 2, png_chunk(b"eXIf", exif(value)[6:]))

    np.testing.assert_array_equal(preprocess(stored(orientation), spec), preprocess(stored(1), spec))


@pytest.mark.parametrize("orientation", range(2, 9))
def test_all_eight_orientations_of_a_jpeg_give_nearly_the_same_input(orientation: int):
    spec = PreprocessSpec(height=32, width=32)
    first, other = (seeds()[f"JPEG, EXIF orientation {value}"][0] for value in (1, orientation))
    difference = np.abs(preprocess(first, spec).astype(int) - preprocess(other, spec))
    assert difference.max() <= 6  # the pictures were compressed after turning


def test_a_turned_photograph_is_cropped_as_it_is_seen():
    tall = picture(400, 200)
    data = insert_after_start(encode(turned(tall, 6), "JPEG", quality=95), jpeg_segment(0xE1, exif(6)))
    spec = PreprocessSpec(height=32, width=32, resize="center_crop", jpeg_scaled_decode=False)
    expected = preprocess(encode(tall, "PNG"), spec)
    assert np.abs(preprocess(data, spec).astype(int) - expected).mean() < 2


def test_the_same_bytes_give_the_same_input_every_time():
    spec = PreprocessSpec(height=50, width=60)
    for data, should_predict in seeds().values():
        if should_predict:
            np.testing.assert_array_equal(preprocess(data, spec), preprocess(data, spec))


@pytest.mark.parametrize("name", seeds())
def test_every_seed_is_preprocessed_or_refused_as_it_should_be(name: str):
    data, should_predict = seeds()[name]
    spec = PreprocessSpec(height=32, width=32)
    if should_predict:
        assert preprocess(data, spec).shape == (32, 32, 3)
    else:
        with pytest.raises(ImageError):
            preprocess(data, spec)


def test_the_limits_are_the_callers():
    out = io.BytesIO()
    picture().save(out, "PNG")
    with pytest.raises(ImageTooLarge):
        preprocess(out.getvalue(), PreprocessSpec(height=32, width=32), ImageLimits(max_pixels=100))
