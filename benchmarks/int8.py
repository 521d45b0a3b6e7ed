"""int8 against full precision on a CPU: throughput of inference, alternating in one process, and what int8 gets wrong.

Takes a bundle that holds both (`--bundle`, with the install that trusts it in ONSIGHT_HOME), or trains one on
TrashNet's official split first. Each session runs as the server runs it: one thread, one image at a time, graphs
optimised. Times are the thread's own on the CPU: on a busy machine the wall clock would time its neighbours.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality import train
from benchmarks.shared_data import MOBILENET, require_data, trashnet_list, unpack_trashnet
from bundle.cores import usable_cores
from bundle.decide import decide
from bundle.golden import Infer
from bundle.home import OnsightHome
from bundle.load import Bundle, load_bundle
from bundle.preprocess import preprocess
from bundle.trust import TrustStore
from exporter.parity import cpu_infer

RUNS_A_TURN = 10


def train_and_export(folder: Path, images: Path) -> Path:
    """A bundle with both forms, by the command line."""
    home, run, out = folder / "home", folder / "run", folder / "trash.onsight"
    train(home, run, images, "--backbone", MOBILENET, "--validation-list", trashnet_list("val"),
          "--test-list", trashnet_list("test"))  # fmt: skip
    began = time.perf_counter()
    command = [sys.executable, "-m", "onsight.cli", "export", str(run), "--out", str(out), "--variants", "fp32,int8",
               "--require-variants"]  # fmt: skip
    subprocess.run(command, check=True, env={**os.environ, "ONSIGHT_HOME": str(home)})
    print(f"export of both: {time.perf_counter() - began:.0f} s")
    os.environ["ONSIGHT_HOME"] = str(home)
    return out


def test_files(images: Path) -> list[tuple[Path, str]]:
    """Files of the official test list with their labels."""
    names = {line.split()[0] for line in trashnet_list("test").read_text().splitlines() if line.strip()}
    return [(path, path.parent.name) for path in sorted(images.glob("*/*.jpg")) if path.name in names]


def turns(infers: dict[str, Infer], images: NDArray[np.uint8], rounds: int) -> dict[str, list[float]]:
    """Milliseconds an image, by name, one figure a round; in every round each has its turn on the same images."""
    times: dict[str, list[float]] = {name: [] for name in infers}
    for number in range(rounds):
        batch = images[(number * RUNS_A_TURN + np.arange(RUNS_A_TURN)) % len(images)]
        for name, infer in infers.items():
            began = time.thread_time()
            for image in batch:
                infer(image[None])
            times[name].append((time.thread_time() - began) * 1e3 / len(batch))
    return times


def report_speed(times: dict[str, list[float]], title: str) -> None:
    ratios = [full / int8 for full, int8 in zip(times["fp32"], times["int8"], strict=True)]
    low, high = np.percentile(ratios, [5, 95])
    best = min(times["fp32"]) / min(times["int8"])
    for name, found in times.items():
        print(f"{title}: {name} {statistics.median(found):6.2f} ms an image, least {min(found):6.2f}")
    print(
        f"{title}: int8 is {statistics.median(ratios):.2f} times as fast (median of {len(ratios)} rounds, {low:.2f} to"
        f" {high:.2f}); by the least times {best:.2f}   (goal 1.35)"
    )


def report_quality(bundle: Bundle, infers: dict[str, Infer], files: list[tuple[Path, str]]) -> None:
    manifest = bundle.manifest
    with ThreadPoolExecutor(usable_cores()) as pool:
        pixels = list(pool.map(lambda file: preprocess(file[0].read_bytes(), manifest.preprocessing), files))
        answers = {
            name: list(pool.map(lambda image, infer=infer: [part[0] for part in infer(image[None])], pixels))  # type: ignore[misc]
            for name, infer in infers.items()
        }
    tops = {name: [manifest.labels[int(p.argmax())] for p, _ in found] for name, found in answers.items()}
    truth = [label for _, label in files]
    for name, found in tops.items():
        right = np.mean([top == label for top, label in zip(found, truth, strict=True)])
        unknown = np.mean([decide(manifest, *answer).unknown for answer in answers[name]])
        print(f"{name}: accuracy {right:.4f} on {len(files)} test photos, {unknown:.4f} called unknown")
    same = np.mean([one == other for one, other in zip(tops["fp32"], tops["int8"], strict=True)])
    apart = max(float(np.abs(one[0] - other[0]).max()) for one, other in zip(*answers.values(), strict=True))
    print(f"same label: {same:.4f}; largest difference of a probability {apart:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, help="one with fp32 and int8; trains one where it is not given")
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    require_data()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = unpack_trashnet(folder)
        path = arguments.bundle or train_and_export(folder, images)
        bundle = load_bundle(path, TrustStore(OnsightHome.from_environment().trust_dir))
        infers = {each.precision: cpu_infer(bundle.files[each.file]) for each in bundle.manifest.variants}
        files = test_files(images)
        pixels = np.stack([preprocess(file.read_bytes(), bundle.manifest.preprocessing) for file, _ in files[::14]])
        turns(infers, pixels, 2)
        report_speed(turns(infers, pixels, arguments.rounds), "one thread")
        report_quality(bundle, infers, files)


if __name__ == "__main__":
    main()
