"""The feature pass against the same ONNX session alone: what reading, digests, fingerprints and the cache cost.

Alternates both in one run, on the same images and cores; decoding and resizing count on both sides. Beside it, in the
same run, the same pass with the backbone that comes with Onsight.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.shared_data import MOBILENET, require_data, unpack_trashnet
from bundle.cores import usable_cores
from bundle.manifest import PreprocessSpec
from bundle.preprocess import preprocess
from trainer.backbone import BUILT_IN, DEFAULT_NAME, read_backbone_spec
from trainer.encoders import Encoder, backbone_encoder
from trainer.feature_cache import FeatureCache
from trainer.features import BATCH_IMAGES, extract


def session_alone(encoder: Encoder, spec: PreprocessSpec, images: list[bytes], workers: int) -> float:
    """Images a second of decode + preprocess + session, from bytes in memory, results thrown away."""

    def work(start: int) -> None:
        batch = [preprocess(data, spec) for data in images[start : start + BATCH_IMAGES]]
        encoder.encode(np.stack(batch))

    began = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(0, len(images), BATCH_IMAGES)))
    return len(images) / (time.perf_counter() - began)


def feature_pass(encoder: Encoder, spec: PreprocessSpec, root: Path, paths: list[str], workers: int) -> float:
    """Images a second of the whole pass, from files to the written cache."""
    with tempfile.TemporaryDirectory() as cache:
        began = time.perf_counter()
        table = extract(root, paths, spec, encoder.encode, FeatureCache(Path(cache)), workers=workers)
        seconds = time.perf_counter() - began
    assert table.computed == len(paths)
    return len(paths) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    require_data()
    workers = usable_cores()
    backbone, small = read_backbone_spec(MOBILENET), read_backbone_spec(BUILT_IN / DEFAULT_NAME)
    spec = PreprocessSpec(height=backbone.height, width=backbone.width)
    small_spec = PreprocessSpec(height=small.height, width=small.width)
    with tempfile.TemporaryDirectory() as folder:
        root = unpack_trashnet(Path(folder))
        encoder = backbone_encoder(backbone, spec, Path(folder) / "cache")
        small_encoder = backbone_encoder(small, small_spec, Path(folder) / "cache")
        found = sorted(path.relative_to(root).as_posix() for path in root.glob("*/*.jpg"))
        contents: dict[str, bytes] = {}
        for path in found[:: max(1, len(found) // arguments.images)]:
            data = (root / path).read_bytes()
            if data not in contents.values():  # a copy would be recalled, not computed
                contents[path] = data
        paths, images = list(contents), list(contents.values())
        session_alone(encoder, spec, images[:40], workers)
        session_alone(small_encoder, small_spec, images[:40], workers)
        ratios, alone, ours, smalls, gains = [], [], [], [], []
        for _ in range(arguments.rounds):
            alone.append(session_alone(encoder, spec, images, workers))
            ours.append(feature_pass(encoder, spec, root, paths, workers))
            smalls.append(feature_pass(small_encoder, small_spec, root, paths, workers))
            ratios.append(ours[-1] / alone[-1])
            gains.append(smalls[-1] / ours[-1])
    print(f"{len(paths)} images, {workers} threads, {arguments.rounds} rounds; medians")
    print(f"session alone  {statistics.median(alone):7.1f} images/s")
    print(f"feature pass   {statistics.median(ours):7.1f} images/s")
    print(f"ratio          {statistics.median(ratios):7.3f}   (goal 0.90)")
    lowest, highest = min(gains), max(gains)
    print(
        f"{DEFAULT_NAME}  {statistics.median(smalls):7.1f} images/s, {statistics.median(gains):.2f} times as fast as"
        f" MobileNetV2 ({lowest:.2f} to {highest:.2f}; goal 1.5)"
    )


if __name__ == "__main__":
    main()
