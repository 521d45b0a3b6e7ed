"""How good and how quick a training is on real photos: TrashNet (single-label) and playing cards (multi-label).

Trains with the command line's defaults on the official splits, with a fresh cache, then once more with the warm one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.shared_data import MOBILENET, require_data, trashnet_list, unpack_cards, unpack_trashnet
from trainer.statistics import models_from_json


def train(home: Path, run: Path, *options: str | Path) -> tuple[dict[str, float], float]:
    """One `onsight train` in a process of its own: test metrics of the best model, and wall seconds of all of it."""
    command = [sys.executable, "-m", "onsight.cli", "train", *map(str, options), "--out", str(run), "--json"]
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "ONSIGHT_HOME": str(home)})
    seconds = time.perf_counter() - began
    metrics = models_from_json((run / "statistics.json").read_text())["best"].splits["test"].metrics
    return {name: estimate.value for name, estimate in metrics.items()}, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = range(parser.parse_args().seeds)
    require_data()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home = folder / "home"
        trashnet = [unpack_trashnet(folder), "--backbone", MOBILENET, "--validation-list", trashnet_list("val"),
                    "--test-list", trashnet_list("test")]  # fmt: skip
        images, labels, test_list = unpack_cards(folder)
        cards = [images, "--labels", labels, "--backbone", MOBILENET, "--test-list", test_list, "--size", "320"]
        for title, metric, options in (("TrashNet", "accuracy", trashnet), ("cards", "mean_average_precision", cards)):
            for seed in seeds:
                metrics, seconds = train(home, folder / f"{title}-{seed}", *options, "--seed", str(seed))
                state = "cold cache" if seed == 0 else "warm cache"
                print(
                    f"{title:9} seed {seed}: test {metric} {metrics[metric]:.3f}, {seconds:5.1f} s, {state}", flush=True
                )


if __name__ == "__main__":
    main()
