from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pictures import jpeg, picture, pixels
from PIL import Image, ImageEnhance
from sklearn.datasets import load_digits

from trainer.data import FINGERPRINT_BYTES, fingerprint, near_duplicate_groups
from trainer.data.duplicates import MAX_HASH_BITS, _Forest, _Looks


def groups_of(fingerprints):
    """Groups of files that all differ in their bytes."""
    return near_duplicate_groups(np.stack(fingerprints), [f"{row:064x}" for row in range(len(fingerprints))])


def saved(image: Image.Image, quality: int) -> Image.Image:
    return Image.open(io.BytesIO(jpeg(image, quality)))


def cropped(image: Image.Image, share: float) -> Image.Image:
    width, height = image.size
    return image.crop((int(width * share), int(height * share), int(width * (1 - share)), int(height * (1 - share))))


CHANGES = {
    "saved again at quality 40": lambda image: saved(image, 40),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.75),
    "more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.2),
    "paler": lambda image: ImageEnhance.Color(image).enhance(0.8),
    "cropped by 1 % on each side": lambda image: cropped(image, 0.01),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_joins_its_original_and_nothing_else(change):
    originals = [picture(seed, side=200) for seed in range(60)]
    copies = [CHANGES[change](image) for image in originals]
    groups = groups_of([fingerprint(pixels(image)) for image in originals + copies])
    joined = groups[:60] == groups[60:]
    assert joined.mean() >= 0.95
    assert np.bincount(groups).max() <= 2


def test_different_pictures_stay_apart():
    groups = groups_of([fingerprint(pixels(picture(seed))) for seed in range(300)])
    assert len(np.unique(groups)) == 300


def test_handwritten_digits_do_not_collapse():
    images = [np.repeat((image * 15.9).astype(np.uint8)[:, :, None], 3, axis=2) for image in load_digits().images]
    groups = groups_of([fingerprint(pixels(Image.fromarray(image), side=32)) for image in images])
    sizes = np.bincount(groups)
    assert sizes.max() <= 8
    assert sizes[sizes > 1].sum() <= 0.06 * len(images)


def test_small_objects_on_a_plain_ground_do_not_collapse_and_their_copies_join():
    marks, copies = [], []
    for image in load_digits().images[:600]:
        page = Image.new("RGB", (128, 128), "white")
        page.paste(Image.fromarray(255 - (image * 15.9).astype(np.uint8)).resize((40, 40)), (44, 44))
        marks.append(fingerprint(np.asarray(page)))
        copies.append(fingerprint(np.asarray(saved(page, 75))))
    sizes = np.bincount(groups_of(marks))
    assert sizes.max() <= 4
    assert sizes[sizes > 1].sum() <= 0.05 * len(marks)
    groups = groups_of(marks + copies)
    assert (groups[:600] == groups[600:]).mean() >= 0.95


def test_the_same_shapes_in_another_colour_are_another_image():
    grey = np.asarray(picture(5).convert("L"), dtype=np.float32)
    red = np.stack([grey * 0.5 + 120, grey * 0.5, grey * 0.5], axis=2).astype(np.uint8)
    blue = red[:, :, ::-1].copy()
    assert len(np.unique(groups_of([fingerprint(red), fingerprint(blue)]))) == 2


def test_equal_files_join_even_if_their_fingerprints_do_not():
    looks = np.stack([fingerprint(pixels(picture(seed))) for seed in (1, 2, 3)])
    assert near_duplicate_groups(looks, ["a", "b", "a"]).tolist() == [0, 1, 0]


def test_plain_images_join_only_where_they_are_equal():
    white, black, nearly = (np.full((64, 64, 3), level, dtype=np.uint8) for level in (255, 0, 254))
    assert groups_of([fingerprint(image) for image in (white, black, nearly, white)]).tolist() == [0, 1, 2, 0]


def test_groups_are_numbered_by_first_rows_and_an_empty_set_has_none():
    assert near_duplicate_groups(np.zeros((0, FINGERPRINT_BYTES), dtype=np.uint8), []).tolist() == []
    looks = [fingerprint(pixels(picture(seed))) for seed in (9, 8, 9, 7)]
    assert groups_of(looks).tolist() == [0, 1, 0, 2]


def test_wrong_shapes_are_refused_with_both_shapes():
    with pytest.raises(ValueError, match="one for each of 2 digests"):
        near_duplicate_groups(np.zeros((1, FINGERPRINT_BYTES), dtype=np.uint8), ["a", "b"])
    with pytest.raises(ValueError, match=r"\(H, W, 3\), found uint8 \(4, 4\)"):
        fingerprint(np.zeros((4, 4), dtype=np.uint8))


@pytest.mark.parametrize("shape", [(1, 1, 3), (8, 300, 3), (33, 17, 3)])
def test_images_of_any_size_have_a_fingerprint(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert fingerprint(image).shape == (FINGERPRINT_BYTES,)


def test_every_pair_within_seven_bits_is_proposed():
    random = np.random.default_rng(1)
    looks = random.integers(0, 256, (400, FINGERPRINT_BYTES), dtype=np.uint8)
    bits_of_bands = np.arange(64).reshape(4, 16)
    for row in range(1, 400, 2):  # the row before, with 0 to 7 bits flipped
        bits = random.choice(64, row % 8, replace=False)
        if row < 128:  # the hardest: a bit in one band, two in each of the others
            lone = row // 2
            others = [band for band in bits_of_bands if lone not in band]
            bits = np.concatenate([[lone], *(random.choice(band, 2, replace=False) for band in others)])
        flipped = np.unpackbits(looks[row - 1, :8])
        flipped[bits] ^= 1
        looks[row, :8] = np.packbits(flipped)
    unpacked = _Looks(looks)
    proposed = {
        (min(a, b), max(a, b))
        for left, right in unpacked._candidates()
        for a, b in zip(left.tolist(), right.tolist(), strict=True)
    }
    distance = np.bitwise_count(unpacked.hashes[:, None] ^ unpacked.hashes[None])
    wanted = {(a, b) for a, b in np.argwhere(distance <= MAX_HASH_BITS).tolist() if a < b}
    assert len(wanted) >= 200
    assert wanted <= proposed


def test_equal_hashes_do_not_go_quadratic_and_copies_are_found_all_the_same():
    random = np.random.default_rng(2)
    rows = 3000
    looks = random.integers(0, 256, (rows, FINGERPRINT_BYTES), dtype=np.uint8)
    looks[:, :8] = looks[0, :8]
    noise = random.integers(-3, 4, (rows // 2, FINGERPRINT_BYTES - 8))
    looks[rows // 2 :, 8:] = np.clip(looks[: rows // 2, 8:].astype(np.int64) + noise, 0, 255)
    proposed = sum(len(left) for left, _ in _Looks(looks)._candidates())
    assert proposed <= rows * 4 * 64  # of 4.5 million pairs, four times over
    groups = groups_of(looks)
    assert (groups[: rows // 2] == groups[rows // 2 :]).mean() > 0.95
    assert np.bincount(groups).max() == 2


def test_a_fixed_camera_does_not_make_one_group_of_everything():
    scene = np.asarray(picture(3, side=128), dtype=np.float32)
    random = np.random.default_rng(3)
    drift = [scene * (0.8 + 0.4 * step / 400) + random.normal(0, 2, 3) for step in range(400)]
    frames = [np.clip(frame, 0, 255).astype(np.uint8) for frame in drift]
    looks = [fingerprint(frame) for frame in frames]
    digests = [f"{row // 2}" for row in range(400)]  # every frame stands twice
    groups = near_duplicate_groups(np.repeat(np.stack(looks[:200]), 2, axis=0), digests)
    assert np.bincount(groups).max() <= 50
    assert (groups[::2] == groups[1::2]).all()


@settings(max_examples=50, deadline=None)
@given(
    pairs=arrays.arrays(np.int64, st.tuples(st.integers(0, 60), st.just(2)), elements=st.integers(0, 29)),
)
def test_the_forest_connects_exactly_what_is_connected(pairs):
    forest = _Forest(30)
    for start in range(0, len(pairs), 7):
        forest.join(pairs[start : start + 7, 0], pairs[start : start + 7, 1])
    reach = np.eye(30, dtype=bool)
    reach[pairs[:, 0], pairs[:, 1]] = reach[pairs[:, 1], pairs[:, 0]] = True
    for _ in range(5):
        reach = (reach.astype(int) @ reach.astype(int)) > 0
    assert (forest.root == reach.argmax(axis=1)).all()


def shared_data() -> Path:
    default = Path(__file__).resolve().parents[4] / "shared" / "data"
    return Path(os.environ.get("ONSIGHT_TEST_DATA", default))


@pytest.mark.slow
def test_real_photos_group_as_a_person_would_group_them():
    archive = shared_data() / "datasets" / "trashnet_256.zip"
    if not archive.is_file():
        pytest.skip(f"the photos are absent: {archive}")
    with zipfile.ZipFile(archive) as photos:
        names = sorted(name for name in photos.namelist() if name.endswith(".jpg"))
        looks = [fingerprint(pixels(Image.open(io.BytesIO(photos.read(name))), side=224)) for name in names]
    groups = groups_of(looks)
    short = [name.rsplit("/", 1)[1] for name in names]

    def same(one: str, other: str) -> bool:
        return bool(groups[short.index(one)] == groups[short.index(other)])

    # Pairs that were looked at: the same scene photographed twice, and different objects on the same table.
    assert same("metal394.jpg", "metal76.jpg")
    assert same("paper185.jpg", "paper390.jpg")
    assert same("paper314.jpg", "paper53.jpg")
    assert not same("glass325.jpg", "glass422.jpg")
    assert not same("metal155.jpg", "metal6.jpg")
    assert not same("plastic135.jpg", "plastic138.jpg")
    sizes = np.bincount(groups)
    assert sizes.max() <= 3
    assert 15 <= (sizes > 1).sum() <= 45
