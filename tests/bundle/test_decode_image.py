"""Decoding: the right pixels for the unusual, an ImageError for the hostile, nothing else for anything.

Over 400 lines: one short test an oddity, all with the same makers of bytes.
"""

from __future__ import annotations

import io
import struct
import threading
import tracemalloc
import zlib

import numpy as np
import pytest
from bad_images import (
    encode,
    exif,
    insert_after_start,
    jpeg_segment,
    picture,
    png,
    png_chunk,
    seeds,
    turned,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bundle.decode import ImageLimits, decode_image
from bundle.errors import CorruptImage, EmptyImage, ImageError, ImageTooLarge, UnsupportedImage
from bundle.image_header import ImageFormat, sniff_format
from bundle.jpeg_header import exif_orientation, read_jpeg_header

EXACT = np.asarray(picture())


def pillow_rgb(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def mean_difference(found: np.ndarray, expected: np.ndarray = EXACT) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found.astype(int) - expected).mean())


@pytest.mark.parametrize("name", seeds())
def test_every_seed_is_predicted_or_refused_as_it_should_be(name: str):
    data, should_predict = seeds()[name]
    if should_predict:
        pixels = decode_image(data)
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3
    else:
        with pytest.raises(ImageError, match=r"expected .+, found .+\. .+") as caught:
            decode_image(data)
        assert "0x" not in str(caught.value)  # no memory address
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("PNG under a JPEG's name", 0), ("PNG, interlaced", 0), ("APNG", 0), ("BMP, negative height", 0),
        ("10 MB of trailing bytes", 3), ("JPEG, no end marker", 3), ("JPEG, EXIF loop", 3), ("MPO", 3),
        ("JPEG, CMYK", 4), ("JPEG, Adobe-inverted CMYK (YCCK)", 4), ("GIF, animated", 12),
    ],
)  # fmt: skip
def test_an_unusual_image_shows_what_it_depicts(name: str, tolerance: float):
    assert mean_difference(decode_image(seeds()[name][0])) <= tolerance


@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_decodes_to_exactly_pillows_pixels(quality: int, subsampling: int, progressive: bool, mode: str):
    image = picture(61, 83).convert(mode)
    data = encode(image, "JPEG", quality=quality, subsampling=subsampling, progressive=progressive)
    np.testing.assert_array_equal(decode_image(data), pillow_rgb(data))


def test_a_cmyk_jpeg_decodes_to_exactly_pillows_pixels():
    for name in ("JPEG, CMYK", "JPEG, Adobe-inverted CMYK (YCCK)"):
        data = seeds()[name][0]
        np.testing.assert_array_equal(decode_image(data), pillow_rgb(data))


@pytest.mark.parametrize(("factor", "expected"), [(1, 1), (2, 2), (3, 2), (4, 4), (7, 4), (8, 8), (50, 8)])
def test_a_jpeg_is_decoded_at_the_smallest_scale_that_is_large_enough(factor: int, expected: int):
    data = encode(picture(480, 640), "JPEG")
    pixels = decode_image(data, min_size=(480 // factor, 640 // factor))
    assert pixels.shape == (480 // expected, 640 // expected, 3)
    draft = Image.open(io.BytesIO(data))
    draft.draft("RGB", (640 // expected, 480 // expected))
    np.testing.assert_array_equal(pixels, np.asarray(draft))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 100), st.integers(1, 100))
def test_a_scaled_jpeg_is_never_smaller_than_asked_unless_the_image_is(
    height: int, width: int, least_h: int, least_w: int
):
    data = encode(picture(height, width), "JPEG")
    pixels = decode_image(data, min_size=(least_h, least_w))
    if pixels.shape[:2] != (height, width):
        assert pixels.shape[0] >= least_h
        assert pixels.shape[1] >= least_w
    np.testing.assert_array_equal(pixels, decode_image(data, min_size=(least_h, least_w)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_png_of_any_orientation_shows_the_same_pixels(orientation: int, order: str):
    entry = struct.pack(f"{order}2HLHH", 0x0112, 3, 1, orientation, 0)
    block = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}LH", 8, 1) + entry
    stored = np.asarray(turned(picture(), orientation))
    rows = b"".join(b"\0" + row.tobytes() for row in stored)
    data = png(stored.shape[1], stored.shape[0], rows, 8, 2, png_chunk(b"eXIf", block))
    np.testing.assert_array_equal(decode_image(data), EXACT)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["WEBP", "TIFF"])
def test_a_webp_or_tiff_of_any_orientation_shows_the_same_pixels(orientation: int, kind: str):
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(turned(picture(), orientation), kind, exif=exif(orientation), **options)
    np.testing.assert_array_equal(decode_image(data), EXACT)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_turned_exactly_and_its_least_size_turns_with_it(orientation: int):
    plain = encode(turned(picture(320, 480), orientation), "JPEG")
    marked = insert_after_start(plain, jpeg_segment(0xE1, exif(orientation)))
    upright = decode_image(marked, min_size=(160, 120))
    stored_least = (120, 160) if orientation > 4 else (160, 120)
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    expected = turned(Image.fromarray(decode_image(plain, min_size=stored_least)), inverse)
    np.testing.assert_array_equal(upright, np.asarray(expected))
    assert upright.shape == (160, 240, 3)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"II", b"II*\0", b"II*\0\xff\xff\xff\xff", b"XX*\0\x08\0\0\0", exif(0)[6:], exif(9)[6:],
        exif(6)[6:14] + b"\xff\xff", exif(6)[6:20],
    ],
)  # fmt: skip
def test_garbage_in_place_of_exif_means_upright(data: bytes):
    assert exif_orientation(data) == 1
    jpeg = insert_after_start(encode(picture(), "JPEG"), jpeg_segment(0xE1, b"Exif\0\0" + data))
    assert decode_image(jpeg).shape == EXACT.shape


def test_an_exif_block_inside_a_second_picture_is_not_looked_at():
    jpeg = encode(picture(), "JPEG") + insert_after_start(encode(picture(), "JPEG"), jpeg_segment(0xE1, exif(6)))
    assert read_jpeg_header(jpeg, ImageLimits()).orientation == 1


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_loses_its_lower_bits_and_is_not_clipped(kind: str):
    values = np.arange(64 * 80, dtype=np.uint16).reshape(64, 80) * 12
    pixels = decode_image(encode(Image.fromarray(values), kind))
    np.testing.assert_array_equal(pixels, np.repeat((values >> 8).astype(np.uint8)[..., None], 3, axis=2))


def test_big_endian_sixteen_bit_grey_tiff_reads_alike():
    values = np.arange(6, dtype=np.uint16).reshape(2, 3) * 10_000
    tags = [
        (256, 3, 3),
        (257, 3, 2),
        (258, 3, 16),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 200),
        (277, 3, 1),
        (278, 3, 2),
        (279, 4, 12),
    ]
    directory = struct.pack(">H", len(tags))
    for tag, kind, value in tags:
        directory += struct.pack(">2HL", tag, kind, 1) + (struct.pack(">H2x" if kind == 3 else ">L", value))
    data = (b"MM\0*" + struct.pack(">L", 8) + directory + b"\0" * 4).ljust(200, b"\0") + values.astype(">u2").tobytes()
    np.testing.assert_array_equal(decode_image(data)[..., 0], values >> 8)


def test_sixteen_bit_colour_png_keeps_its_upper_bytes():
    wide = (EXACT.astype(np.uint16) * 256 + 200).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in wide)
    np.testing.assert_array_equal(decode_image(png(80, 64, rows, bits=16)), EXACT)


def float_tiff(values: np.ndarray) -> np.ndarray:
    return decode_image(encode(Image.fromarray(values), "TIFF"))[..., 1]


def test_floats_between_zero_and_one_are_scaled_and_others_span_their_own_range():
    unit = np.linspace(0, 0.5, 80, dtype=np.float32)[None].repeat(4, axis=0)
    np.testing.assert_array_equal(float_tiff(unit), np.rint(unit.astype(np.float64) * 255))
    assert float_tiff(unit * 1000 - 300).min() == 0
    assert float_tiff(unit * 1000 - 300).max() == 255
    assert (float_tiff(np.full((4, 4), 7, np.float32)) == 0).all()
    odd = np.array([[np.nan, np.inf], [0, 10]], np.float32)
    np.testing.assert_array_equal(float_tiff(odd), [[0, 0], [0, 255]])


def test_wide_integers_count_as_sixteen_bits_where_they_fit():
    np.testing.assert_array_equal(float_tiff(np.array([[0, 256], [65535, 511]], np.int32)), [[0, 1], [255, 1]])
    np.testing.assert_array_equal(float_tiff(np.array([[-100, 0], [300, 300]], np.int32)), [[0, 64], [255, 255]])


def test_wide_pixels_are_scaled_piece_by_piece_with_the_range_of_the_whole_picture():
    values = np.random.default_rng(1).normal(0, 1e5, (700, 600)).astype(np.float32)  # more than one piece
    values[5, 5], values[690, 590], values[350, 300] = -1e6, 1e6, np.nan
    wanted = np.rint((np.nan_to_num(values.astype(np.float64), nan=-1e6) + 1e6) * (255 / 2e6))
    np.testing.assert_array_equal(float_tiff(values), wanted)


def test_a_large_picture_of_floats_takes_little_more_memory_than_its_pixels():
    data = encode(Image.fromarray(np.zeros((3000, 4000), np.float32)), "TIFF", compression="tiff_adobe_deflate")
    tracemalloc.start()  # counts numpy's arrays, not Pillow's pictures
    try:
        decode_image(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 150e6  # 12 megapixels: 48 MB of floats, 36 MB of colours; as float64 it was 350 MB


def over_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None].astype(float) / 255
    return np.asarray(colour * share + 255 * (1 - share))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_lies_on_white(kind: str):
    alpha = np.tile(np.arange(80, dtype=np.uint8) * 3, (64, 1))
    image = Image.fromarray(np.dstack([EXACT, alpha]))
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    np.testing.assert_allclose(decode_image(encode(image, kind, **options)), over_white(EXACT, alpha), atol=1)


def test_grey_with_alpha_and_palette_with_transparency_lie_on_white():
    grey = np.asarray(picture().convert("L"))
    alpha = np.tile(np.arange(80, dtype=np.uint8) * 3, (64, 1))
    found = decode_image(encode(Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)]), "PNG"))
    np.testing.assert_allclose(found, over_white(np.dstack([grey] * 3), alpha), atol=1)

    palette = picture().quantize(4)
    index = np.asarray(palette)
    found = decode_image(encode(palette, "PNG", transparency=bytes([0, 128, 255, 255])))
    colours = np.asarray(palette.convert("RGB"))
    expected = over_white(colours, np.array([0, 128, 255, 255], np.uint8)[index])
    np.testing.assert_allclose(found, expected, atol=1)
    assert (found[index == 0] == 255).all()


def test_one_colour_that_stands_for_transparent_becomes_white():
    image = Image.new("RGB", (8, 8), (10, 20, 30))
    image.putpixel((3, 3), (9, 9, 9))
    found = decode_image(encode(image, "PNG", transparency=(10, 20, 30)))
    assert (found[0, 0] == 255).all()
    assert (found[3, 3] == 9).all()


def test_a_one_bit_image_is_black_and_white():
    stripes = np.tile(np.array([0, 255], np.uint8), (16, 8))
    data = encode(Image.fromarray(stripes).convert("1"), "PNG")
    np.testing.assert_array_equal(decode_image(data)[..., 2], stripes)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_several_frames_the_first_is_shown(kind: str):
    frames = [Image.new("RGB", (32, 16), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    np.testing.assert_array_equal(decode_image(data), np.asarray(frames[0]))


def test_pixels_can_be_written_and_are_contiguous():
    for kind in ("JPEG", "PNG"):
        pixels = decode_image(encode(picture(), kind))
        assert pixels.flags.writeable
        assert pixels.flags.c_contiguous


def test_an_image_is_refused_by_its_bytes_before_anything_else():
    data = encode(picture(), "PNG")
    with pytest.raises(ImageTooLarge, match=f"at most {len(data) - 1} bytes, found {len(data)}"):
        decode_image(data, ImageLimits(max_bytes=len(data) - 1))
    assert decode_image(data, ImageLimits(max_bytes=len(data))).shape == EXACT.shape
    with pytest.raises(EmptyImage):
        decode_image(b"")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_every_format_is_refused_by_the_pixels_in_its_header(kind: str):
    data = encode(picture(), kind)
    assert sniff_format(data) is ImageFormat(kind)
    assert decode_image(data, ImageLimits(max_pixels=64 * 80)).shape == EXACT.shape
    with pytest.raises(ImageTooLarge, match="80 x 64 = 5120"):
        decode_image(data, ImageLimits(max_pixels=64 * 80 - 1))


def test_an_image_with_a_very_long_side_is_refused():
    data = png(70_000, 1, b"\0" * 70_001, 8, 0)
    with pytest.raises(ImageTooLarge, match="sides of at most 65535 pixels, found 70000 x 1"):
        decode_image(data)
    assert decode_image(data, ImageLimits(max_side=70_000)).shape == (1, 70_000, 3)


def test_a_jpeg_with_harmless_oddities_beside_its_picture_is_read():
    plain = encode(picture(), "JPEG")
    expected = decode_image(plain)
    jfif = plain.replace(b"JFIF\0\1", b"JFIF\0\3", 1)
    np.testing.assert_array_equal(decode_image(jfif), expected)
    progressive = encode(picture(), "JPEG", progressive=True)
    second = progressive.index(b"\xff\xc4", progressive.index(b"\xff\xda"))
    padded = progressive[:second] + b"\0\0\0\0" + progressive[second:]
    np.testing.assert_array_equal(decode_image(padded), decode_image(progressive))
    odd_adobe = insert_after_start(plain, jpeg_segment(0xEE, b"Adobe\0\x64\0\0\0\0\x07"))
    assert decode_image(odd_adobe).shape == EXACT.shape


def test_a_jpeg_with_damage_in_its_picture_is_refused():
    plain = encode(picture(480, 640), "JPEG")
    cut_out = plain[: len(plain) // 2] + plain[len(plain) // 2 + 500 :]
    for damaged in (cut_out, plain[:-600] + b"\xff\xd9"):
        with pytest.raises(CorruptImage, match="damaged or missing data"):
            decode_image(damaged)


@pytest.mark.parametrize("lossless", [True, False])
def test_an_animated_or_transparent_webp_is_refused_by_its_canvas(lossless: bool):
    image = picture()
    image.putalpha(100)
    data = encode(image, "WEBP", lossless=lossless, save_all=True, append_images=[picture().convert("RGBA")])
    with pytest.raises(ImageTooLarge, match="80 x 64"):
        decode_image(data, ImageLimits(max_pixels=5000))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_a_file_that_ends_early_is_refused_at_every_length(kind: str):
    data = encode(picture(), kind)
    complete = len(data) - {"JPEG": 2, "PNG": 12, "GIF": 2}.get(kind, 0)  # a missing end mark is forgiven
    for length in range(1, complete, max(1, complete // 97)):
        with pytest.raises(ImageError):
            decode_image(data[:length])


def test_a_bad_checksum_in_any_chunk_of_a_png_is_refused():
    data = encode(picture(), "PNG")
    at = 8
    while at < len(data):
        (length,) = struct.unpack_from(">L", data, at)
        broken = data[: at + 8 + length] + bytes([data[at + 8 + length] ^ 1]) + data[at + 9 + length :]
        with pytest.raises(CorruptImage):
            decode_image(broken)
        at += 12 + length


def test_structures_that_decoders_walk_slowly_are_bounded():
    rows = b"".join(b"\0" + row.tobytes() for row in EXACT)
    many_chunks = png(80, 64, rows, 8, 2, png_chunk(b"tEXt", b"k\0v") * 70_000)
    gif = encode(picture(), "GIF")
    colours = 13 + (3 << (gif[10] & 7) + 1)
    comments = gif[:colours] + b"\x21\xfe" + (b"\xff" + b"c" * 255) * 5000 + b"\0" + gif[colours:]
    jpeg = encode(picture(), "JPEG")
    segments = insert_after_start(jpeg, b"\xff\xfe\0\2" * 5000)
    restarts = insert_after_start(jpeg, b"\xff\xd0" * 5000)
    progressive = encode(picture(), "JPEG", progressive=True)
    last = progressive.rindex(b"\xff\xda")
    between = progressive[:last] + b"\xff\xfe\0\2" * 5000 + progressive[last:]
    for data in (many_chunks, comments, segments, restarts, between):
        with pytest.raises((ImageTooLarge, CorruptImage), match="at most"):
            decode_image(data)


def test_data_that_takes_seconds_to_decode_is_refused_by_its_length():
    progressive = encode(picture(), "JPEG", progressive=True)
    inks = encode(picture().convert("CMYK"), "JPEG", progressive=True)
    for jpeg, most in ((progressive, 32 * 1024**2), (inks, 16 * 1024**2)):
        scan = jpeg.rindex(b"\xff\xda")
        with pytest.raises(ImageTooLarge, match="progressive"):
            decode_image(jpeg[:scan] + jpeg[scan:-2] + bytes(most) + b"\xff\xd9")
        decode_image(jpeg + bytes(most // 2))
    baseline = encode(picture(), "JPEG")
    decode_image(baseline + bytes(33 * 1024**2))
    lossy = bytearray(encode(picture(), "WEBP", quality=80))
    lossy[16:20] = struct.pack("<L", 25 * 1024**2)
    lossy[4:8] = struct.pack("<L", 25 * 1024**2 + 12)
    with pytest.raises(ImageTooLarge, match="lossy"):
        decode_image(bytes(lossy) + bytes(25 * 1024**2))


def test_a_few_comments_are_no_reason_to_refuse():
    gif = encode(picture(), "GIF", comment=b"hello " * 400)
    assert decode_image(gif).shape == EXACT.shape
    text = png_chunk(b"zTXt", b"note\0\0" + zlib.compress(b"words " * 1000))
    rows = b"".join(b"\0" + row.tobytes() for row in EXACT)
    np.testing.assert_array_equal(decode_image(png(80, 64, rows, 8, 2, text)), EXACT)


def run_length_bmp(width: int, height: int, body: bytes) -> bytes:
    head = struct.pack("<LllHHLLllLL", 40, width, height, 1, 8, 1, len(body), 0, 0, 256, 0)
    palette = bytes(value for index in range(256) for value in (index, index, index, 0))
    return b"BM" + struct.pack("<LLL", 1078 + len(body), 0, 1078) + head + palette + body


def test_a_small_run_length_coded_bmp_is_read_and_a_large_one_refused():
    body = b"\x50\x07\0\0" * 64 + b"\0\1"
    assert (decode_image(run_length_bmp(80, 64, body)) == 7).all()
    with pytest.raises(ImageTooLarge, match="run-length"):
        decode_image(run_length_bmp(3000, 3000, body))


@pytest.mark.parametrize(
    "head",
    [
        b"8BPS\0\1", b"%PDF-1.4", b"II+\0\x08\0\0\0", b"\0\0\0\x20ftypavif", b"\0\0\0\x0cjP  \r\n\x87\n",
        b"\0\0\1\0\1\0", b"P6 8 8 255 ", b"BM", b"RIFF\0\0\0\0WAVE",
    ],
)  # fmt: skip
def test_other_formats_are_unsupported_whatever_follows(head: bytes):
    with pytest.raises(UnsupportedImage, match="expected JPEG, PNG, WebP, BMP, TIFF or GIF"):
        decode_image(head + b"\0" * 1000)


def test_many_threads_decode_the_same_pixels():
    jobs = [data for data, should_predict in seeds().values() if should_predict and len(data) < 100_000]
    alone = [decode_image(data) for data in jobs]
    wrong: list[int] = []

    def work() -> None:
        for index, data in enumerate(jobs):
            if not np.array_equal(decode_image(data), alone[index]):
                wrong.append(index)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


SMALL_SEEDS = sorted(name for name, (data, _) in seeds().items() if 0 < len(data) < 100_000)


@settings(deadline=None, max_examples=400)
@given(
    st.sampled_from(SMALL_SEEDS),
    st.lists(st.tuples(st.integers(0, 100_000), st.binary(min_size=0, max_size=6), st.integers(0, 6)), max_size=6),
)
def test_a_mutated_image_is_an_image_error_or_pixels(name: str, edits: list[tuple[int, bytes, int]]):
    data = bytearray(seeds()[name][0])
    for at, replacement, removed in edits:
        at %= len(data) + 1
        data[at : at + removed] = replacement
    try:
        pixels = decode_image(bytes(data), min_size=(40, 40))
    except ImageError:
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
