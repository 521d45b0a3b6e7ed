"""Images that show what another one shows: crops and mirror images are confirmed, whatever else is near is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pictures import jpeg, picture, pixels, snapshot_of
from PIL import Image, ImageOps

from trainer.data import fingerprint, read_dataset
from trainer.data.look_alikes import CONFIRMED, NEAREST, PROPOSED, aligned_correlation, find_look_alikes
from trainer.directions import LENGTH, directions

SIDE = 160


def look(image):
    return fingerprint(pixels(image, SIDE))


def crop(image, left, top, share):
    """share of either side, beginning at these shares of what is left free."""
    width, height = image.size
    x, y = (1 - share) * width * left, (1 - share) * height * top
    return image.crop((round(x), round(y), round(x + share * width), round(y + share * height)))


CHANGES = {
    "5 % off each side": lambda image: crop(image, 0.5, 0.5, 0.9),
    "10 % off each side": lambda image: crop(image, 0.5, 0.5, 0.8),
    "a corner of 85 %": lambda image: crop(image, 0.0, 1.0, 0.85),
    "mirrored": ImageOps.mirror,
    "mirrored and 5 % off each side": lambda image: crop(ImageOps.mirror(image), 0.5, 0.5, 0.9),
}


def smooth_picture(seed):
    """Of few shapes, as photos are at 8x8: what the windows are worth without their rounding of hard edges."""
    random = np.random.default_rng(seed)
    waves = random.normal(size=(4, 4, 3))
    steps = np.cos(np.pi * np.arange(4)[:, None] * (np.arange(SIDE) + 0.5) / SIDE)  # (4,SIDE)
    field = np.einsum("ijk,iy,jx->yxk", waves, steps, steps)
    scaled = 128 + 100 * field / np.abs(field).max()
    return Image.fromarray(scaled.astype(np.uint8))


@pytest.mark.parametrize("change", CHANGES)
def test_a_part_or_a_mirror_image_agrees_with_its_original_and_with_no_other(change):
    images = [smooth_picture(seed) for seed in range(40)]
    originals, changed = (np.stack([look(image) for image in some]) for some in (images, map(CHANGES[change], images)))
    assert (aligned_correlation(originals, changed) >= CONFIRMED).mean() >= 0.9
    assert (aligned_correlation(changed, originals) >= CONFIRMED).mean() >= 0.9  # neither side is the original's
    assert (aligned_correlation(originals, np.roll(changed, 1, axis=0)) < CONFIRMED).all()


def test_hard_edges_and_different_pictures_are_told_apart():
    images = [picture(seed, SIDE) for seed in range(60)]
    originals, mirrored = (np.stack([look(image) for image in some]) for some in (images, map(ImageOps.mirror, images)))
    assert (aligned_correlation(originals, mirrored) >= CONFIRMED).all()
    ones, others = np.triu_indices(60, 1)
    assert (aligned_correlation(originals[ones], originals[others]) < CONFIRMED).all()


def test_plain_images_and_another_overall_colour_agree_with_nothing():
    plain = np.full((SIDE, SIDE, 3), 200, np.uint8)
    scene = np.asarray(smooth_picture(1)).astype(np.int64) // 2 + 60
    red = np.clip(scene + np.array([60, 0, 0]), 0, 255).astype(np.uint8)
    prints = np.stack([fingerprint(plain), fingerprint(scene.astype(np.uint8)), fingerprint(red)])
    assert aligned_correlation(prints[[0, 0, 1]], prints[[0, 1, 2]]).tolist() == [-1, -1, -1]
    assert aligned_correlation(prints[:0], prints[:0]).shape == (0,)


def near(base, cosine, seed):
    """A vector of length one at this cosine from a vector of length one."""
    other = np.random.default_rng(seed).standard_normal(len(base)).astype(np.float32)
    other -= (other @ base) * base
    return cosine * base + np.sqrt(1 - cosine**2) * other / np.linalg.norm(other)


def unit(seed):
    made = np.random.default_rng(seed).standard_normal(LENGTH).astype(np.float32)
    return made / np.linalg.norm(made)


def test_features_propose_and_thumbnails_decide():
    scene, other = smooth_picture(1), smooth_picture(2)
    base = unit(0)
    vectors = np.stack([base, near(base, 0.99, 1), near(base, 0.985, 2), near(base, 0.98, 3), near(base, 0.9, 4)])
    shown = [scene, other, ImageOps.mirror(scene), scene, scene]  # the second is near and shows something else
    prints = np.stack([look(image) for image in shown])
    kinds = np.zeros(5, np.int64)
    asked, others = np.array([0]), np.array([1, 2, 3, 4])
    assert find_look_alikes(vectors, prints, kinds, asked, others) == [(0, 2)]  # the nearest that agrees
    assert find_look_alikes(vectors, prints, kinds, asked, np.array([1, 4])) == []  # other look; too far
    assert find_look_alikes(vectors, prints, np.array([0, 0, 1, 0, 0]), asked, others) == [(0, 3)]
    assert find_look_alikes(vectors, prints, kinds, asked, others[:0]) == []
    assert find_look_alikes(vectors, prints, kinds, asked[:0], others) == []


def test_of_many_near_images_the_nearest_are_looked_at():
    base, scene = unit(0), smooth_picture(1)
    crowd = [near(base, PROPOSED + 0.01, seed) for seed in range(3 * NEAREST)]
    prints = np.stack([look(scene)] + [look(smooth_picture(9))] * len(crowd) + [look(scene)] * 2)
    rows = np.arange(len(prints))
    for cosine, found in ((0.99, [(0, len(rows) - 1)]), (PROPOSED + 0.001, [])):
        twins = [near(base, PROPOSED, 98), near(base, cosine, 99)]
        vectors = np.stack([base, *crowd, *twins]).astype(np.float32)
        assert find_look_alikes(vectors, prints, np.zeros(len(rows), np.int64), rows[:1], rows[1:]) == found


def test_directions_of_other_networks_keep_the_sign():
    features = np.random.default_rng(0).standard_normal((3, 900))
    cosines = directions(np.concatenate([features, -features])) @ directions(features).T
    assert np.diag(cosines[:3]).min() > 0.999
    assert np.diag(cosines[3:]).max() < -0.999


@pytest.fixture
def photos(folder) -> Path:
    """Twelve pictures in two classes; a mirror image of each class's first, and of one under the other label."""
    files = {f"{label}/{n}.jpg": jpeg(picture(100 * k + n)) for k, label in enumerate(("cat", "dog")) for n in range(6)}
    for name, seed in (("cat/turned.jpg", 0), ("dog/turned.jpg", 100), ("dog/wrong.jpg", 1)):
        files[name] = jpeg(ImageOps.mirror(picture(seed)))
    return folder(files)


def test_look_alikes_across_a_split_are_a_warning_that_changes_no_split(photos):
    dataset = read_dataset(photos)
    twins = {"cat/turned.jpg": "cat/0.jpg", "dog/turned.jpg": "dog/0.jpg", "dog/wrong.jpg": "cat/1.jpg"}
    names = [file.path for file in dataset.files]
    features = np.stack([unit(names.index(twins.get(name, name))) for name in names])  # twins have one direction
    lists = {"validation_list": ["cat/turned.jpg", "dog/wrong.jpg", "cat/3.jpg"], "test_list": ["dog/turned.jpg"]}
    without, snapshot = snapshot_of(dataset, **lists), snapshot_of(dataset, features=features, **lists)
    found = {warning.code: warning.items for warning in snapshot.warnings}
    assert found["likely_leaks"] == (
        "cat/turned.jpg (validation) ~ cat/0.jpg (train)",
        "dog/turned.jpg (test) ~ dog/0.jpg (train)",
    )
    assert "likely_leaks" not in {warning.code for warning in without.warnings}
    assert snapshot.sha256_digest == without.sha256_digest
    assert snapshot.groups.tolist() == without.groups.tolist()


def test_what_the_fingerprints_tell_is_not_told_twice(folder):
    files = {f"{label}/{n}.jpg": jpeg(picture(100 * k + n)) for k, label in enumerate(("cat", "dog")) for n in range(4)}
    dataset = read_dataset(folder({**files, "cat/again.jpg": jpeg(picture(0), 60)}))
    names = [file.path for file in dataset.files]
    features = np.stack([unit(names.index("cat/0.jpg" if name == "cat/again.jpg" else name)) for name in names])
    snapshot = snapshot_of(dataset, features=features, validation_list=["cat/again.jpg"])
    codes = [warning.code for warning in snapshot.warnings]
    assert "leaks" in codes
    assert "likely_leaks" not in codes
