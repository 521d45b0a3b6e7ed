"""Measure snapshot, split and statistics on synthetic rows: `python -m benchmarks.snapshot [--rows 100000]`.

Goal for 100,000 rows, single- and multi-label together: under 30 s and 1 GB. Rows are seeded: distinct fingerprints, of
which 3 in 100 are near-duplicates of another row (the thumbnail's values off by up to 3, two bits of the hash flipped).
Results go to stdout, one line a stage.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bundle.manifest import Task
from trainer.data import FINGERPRINT_BYTES, Dataset, LabelledFile, Snapshot, Split, build_snapshot
from trainer.statistics import SplitScores, compute_statistics

LABELS = 20
Result = TypeVar("Result")


def synthetic_dataset(task: Task, rows: int, seed: int) -> tuple[Dataset, list[str], NDArray[np.uint8]]:
    """Files with labels of uneven frequency, their digests and fingerprints ((rows, FINGERPRINT_BYTES) uint8)."""
    random = np.random.default_rng(seed)
    names = tuple(f"label {number:02}" for number in range(LABELS))
    weights = np.geomspace(1, 0.1, LABELS)
    if task is Task.SINGLE_LABEL:
        matrix = np.eye(LABELS, dtype=np.bool_)[random.choice(LABELS, rows, p=weights / weights.sum())]
    else:
        matrix = random.random((rows, LABELS)) < weights * 0.3
    files = tuple(
        LabelledFile(f"folder {row % 100:02}/image {row:07}.jpg", tuple(names[k] for k in np.flatnonzero(matrix[row])))
        for row in range(rows)
    )
    fingerprints = random.integers(0, 256, (rows, FINGERPRINT_BYTES), dtype=np.uint8)
    copies = random.permutation(rows)[: rows * 3 // 100]
    originals = (copies + 1) % rows
    noise = random.integers(-3, 4, (len(copies), FINGERPRINT_BYTES))
    fingerprints[copies] = np.clip(fingerprints[originals] + noise, 0, 255)
    fingerprints[copies, :8] = fingerprints[originals, :8]
    fingerprints[copies, 0] ^= 0b11
    digests = [random.bytes(32).hex() for _ in range(rows)]
    return Dataset(Path("synthetic"), task, names, None, files, (), ()), digests, fingerprints


def synthetic_scores(snapshot: Snapshot, seed: int) -> dict[str, SplitScores]:
    """Logits of a middling model: the truth, drowned in noise."""
    random = np.random.default_rng(seed)
    scores = {}
    for split in Split:
        rows = snapshot.rows(split)
        truth = snapshot.label_matrix[rows]
        logits = random.normal(size=truth.shape).astype(np.float32) * 1.5 + truth * 3 - 1
        scores[split.value] = SplitScores(logits.astype(np.float32), truth, [snapshot.paths[row] for row in rows])
    return scores


def measure(task: Task, rows: int, seed: int = 0) -> float:
    """Run all stages, print seconds for each, and return their sum. Making the synthetic rows is not counted."""
    dataset, digests, fingerprints = synthetic_dataset(task, rows, seed)
    total = 0.0

    def timed(stage: str, work: Callable[[], Result]) -> Result:
        nonlocal total
        begin, begin_cpu = time.perf_counter(), time.process_time()
        result = work()
        seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - begin_cpu
        total += seconds
        print(f"{task.value:13} {stage:15} {seconds:7.2f} s  ({cpu_seconds:.2f} s of CPU)", flush=True)
        return result

    snapshot = timed(
        "build_snapshot",
        lambda: build_snapshot(
            dataset, sha256=digests, fingerprints=fingerprints, unreadable={}, test_fraction=0.1, seed=seed
        ),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "snapshot.json"
        timed("save", lambda: snapshot.save(path))
        print(f"{task.value:13} {'file size':15} {path.stat().st_size / 1e6:7.1f} MB")
        loaded = timed("load", lambda: Snapshot.load(path))
    scores = synthetic_scores(loaded, seed)
    timed("statistics", lambda: compute_statistics(task, loaded.labels, scores, seed=seed))
    return total


def peak_memory_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    seconds = sum(measure(task, options.rows, options.seed) for task in Task)
    print(f"{options.rows:,} rows, both tasks: {seconds:.1f} s, peak memory {peak_memory_mb():.0f} MB")


if __name__ == "__main__":
    main()
