"""Changed copies of real photos against different photos of the same kind: what finds copies, and what else besides.

Three sets of photos (trash on a table, playing cards, hand signs of 64x64 before one wall), each with 13 changed copies
of some of its photos. Compared are the fingerprint (`trainer.data.duplicates`, by which a split is made), features
alone at several limits, and features that thumbnails confirm (`trainer.data.look_alikes`, by which a training warns).
Different photos that are found are mostly the same scene photographed again; they are counted, not forgiven.
"""

from __future__ import annotations

import argparse
import io
import time
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from benchmarks.shared_data import DATASETS, MOBILENET, require_data
from bundle.cores import usable_cores
from bundle.image_limits import ImageLimits
from bundle.manifest import PreprocessSpec
from bundle.preprocess import preprocess_picture
from trainer.backbone import BUILT_IN, DEFAULT_NAME, read_backbone_spec
from trainer.data.duplicates import near_duplicate_groups
from trainer.data.fingerprint import fingerprint_picture
from trainer.data.look_alikes import find_look_alikes
from trainer.directions import directions
from trainer.encoders import Encoder, backbone_encoder
from trainer.features import BATCH_IMAGES

SETS = ("trashnet_256.zip", "cards_multilabel.zip", "sign_digits_64_tiny.zip")
COSINES = (0.97, 0.98, 0.985, 0.99)


def _crop(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    """Shares of width and height that are cut off."""
    width, height = image.size
    return image.crop((int(width * left), int(height * top), int(width * (1 - right)), int(height * (1 - bottom))))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.6),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
    "more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.4),
    "paler": lambda image: ImageEnhance.Color(image).enhance(0.5),
    "2 % off each side": lambda image: _crop(image, 0.02, 0.02, 0.02, 0.02),
    "5 % off each side": lambda image: _crop(image, 0.05, 0.05, 0.05, 0.05),
    "10 % off each side": lambda image: _crop(image, 0.1, 0.1, 0.1, 0.1),
    "15 % off two sides": lambda image: _crop(image, 0, 0, 0.15, 0.15),
    "turned by 3 degrees": lambda image: _crop(image.rotate(3, Image.Resampling.BICUBIC), 0.04, 0.04, 0.04, 0.04),
    "mirrored": ImageOps.mirror,
}
QUALITIES = {"quality 40": 40, "quality 15": 15}  # of a JPEG; all others are saved at 92


@dataclass(frozen=True)
class Looks:
    """Of R images. features: (R, D).  prints: (R, B).  The first `originals` rows are photos, of which `change[k]` is
    made in row originals + k from row `of[k]`."""

    features: NDArray[np.float32]
    prints: NDArray[np.uint8]
    originals: int
    change: tuple[str, ...]
    of: NDArray[np.int64]


def read_looks(archive: Path, encoder: Encoder, spec: PreprocessSpec, photos: int, changed: int) -> Looks:
    """A seeded draw of `photos` photos, `changed` of them with all changes."""
    random = np.random.default_rng(0)
    with zipfile.ZipFile(archive) as file:
        names = sorted(name for name in file.namelist() if name.lower().endswith((".jpg", ".jpeg", ".png")))
        drawn = np.sort(random.permutation(len(names))[:photos]).tolist()
        contents = list(dict.fromkeys(file.read(names[place]) for place in drawn))  # equal files once
    of, change, images = [], [], list(contents)
    for place in np.sort(random.permutation(len(contents))[:changed]).tolist():
        image = Image.open(io.BytesIO(contents[place])).convert("RGB")
        copies = {name: _jpeg(make(image), 92) for name, make in CHANGES.items()}
        copies |= {name: _jpeg(image, quality) for name, quality in QUALITIES.items()}
        for name, data in copies.items():
            of.append(place)
            change.append(name)
            images.append(data)

    def work(start: int) -> tuple[NDArray[np.generic], list[NDArray[np.uint8]]]:
        pictures = [preprocess_picture(data, spec, ImageLimits()) for data in images[start : start + BATCH_IMAGES]]
        features = encoder.encode(np.stack([np.asarray(picture) for picture in pictures]))
        return features, [fingerprint_picture(picture) for picture in pictures]

    with ThreadPoolExecutor(usable_cores()) as pool:
        done = list(pool.map(work, range(0, len(images), BATCH_IMAGES)))
    features = np.concatenate([rows for rows, _ in done]).astype(np.float32)
    prints = np.stack([print_ for _, rows in done for print_ in rows])
    return Looks(features, prints, len(contents), tuple(change), np.asarray(of))


def measure(looks: Looks) -> dict[str, tuple[dict[str, float], int]]:
    """For each way: the share of copies found by change, and how many pairs of different photos are taken as the same.

    `look_alikes` gives each row one twin at most, so its pairs are counted a photo against all photos before it.
    """
    n, rows = looks.originals, np.arange(len(looks.features))
    copies = rows[n:]
    vectors = directions(looks.features)
    found: dict[str, tuple[NDArray[np.bool_], int]] = {}

    groups = near_duplicate_groups(looks.prints, [f"{row}" for row in rows])
    alone = near_duplicate_groups(np.ascontiguousarray(looks.prints[:n]), [f"{row}" for row in range(n)])
    by_print = groups[copies] == groups[looks.of]
    found["fingerprint"] = by_print, int(sum(size * (size - 1) // 2 for size in np.bincount(alone).tolist()))

    own = np.einsum("ij,ij->i", vectors[copies], vectors[looks.of])
    others = (vectors[:n] @ vectors[:n].T)[np.triu_indices(n, 1)]
    for limit in COSINES:
        found[f"features, {limit}"] = own >= limit, int((others >= limit).sum())

    same = np.zeros(len(rows), np.int64)
    twins = dict(find_look_alikes(vectors, looks.prints, same, copies, rows[:n]))
    confirmed = np.array([twins.get(copy) == original for copy, original in zip(copies, looks.of, strict=True)])
    pairs = sum(len(find_look_alikes(vectors, looks.prints, same, rows[k : k + 1], rows[:k])) for k in range(1, n))
    found["features and thumbnails"] = confirmed, pairs
    found["either of these and the fingerprint"] = confirmed | by_print, pairs + found["fingerprint"][1]
    change = np.asarray(looks.change)
    return {
        way: ({name: float(hit[change == name].mean()) for name in (*CHANGES, *QUALITIES)}, count)
        for way, (hit, count) in found.items()
    }


def first_found(looks: Looks) -> float:
    """The share of changed copies to which no other photo is nearer than the one that they were made from."""
    vectors = directions(looks.features)
    nearest = (vectors[looks.originals :] @ vectors[: looks.originals].T).argmax(axis=1)
    return float((nearest == looks.of).mean())


def time_at(rows: int) -> float:
    """Seconds of the look for leaks at so many synthetic images, a fifth of them asked of."""
    random = np.random.default_rng(0)
    vectors = random.standard_normal((rows, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    prints = random.integers(0, 256, (rows, 200), dtype=np.uint8)
    kinds = random.integers(0, 20, rows)
    began = time.perf_counter()
    find_look_alikes(vectors, prints, kinds, np.arange(0, rows, 5), np.flatnonzero(np.arange(rows) % 5))
    return time.perf_counter() - began


def _jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=800, help="of each set")
    parser.add_argument("--changed", type=int, default=120, help="of these, with 13 copies each")
    parser.add_argument("--rows", type=int, default=100_000, help="synthetic images, for the time; 0 for none")
    parser.add_argument("--mobilenet", action="store_true", help="by the features of MobileNetV2")
    chosen = parser.parse_args(arguments)
    require_data()
    backbone = read_backbone_spec(MOBILENET if chosen.mobilenet else BUILT_IN / DEFAULT_NAME)
    spec = PreprocessSpec(height=backbone.height, width=backbone.width)
    with TemporaryDirectory() as cache:
        encoder = backbone_encoder(backbone, spec, Path(cache))
        for name in SETS:
            looks = read_looks(DATASETS / name, encoder, spec, chosen.photos, chosen.changed)
            print(f"\n{name}: {looks.originals} photos, {len(looks.of)} changed copies", flush=True)
            for way, (shares, pairs) in measure(looks).items():
                told = ", ".join(f"{change} {share:.2f}" for change, share in shares.items())
                print(f"{way}: {np.mean(list(shares.values())):.3f} of the copies, {pairs} other pairs ({told})")
            print(f"the original is the nearest of all photos to {first_found(looks):.3f} of the copies", flush=True)
    if chosen.rows:
        print(f"\n{chosen.rows:,} images, a fifth asked of: {time_at(chosen.rows):.1f} s")


if __name__ == "__main__":
    main()
