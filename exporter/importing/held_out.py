"""How good an imported model is on labelled images that the user keeps for it: figures with intervals."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bundle.errors import ImageError
from bundle.golden import Infer
from bundle.manifest import MetricEstimate, PreprocessSpec, Task
from bundle.preprocess import preprocess
from exporter.errors import ExportError
from trainer.data.sources import read_dataset
from trainer.statistics.scores import SplitScores
from trainer.statistics.splits import Settings, split_statistics

RESAMPLES = 1000


@dataclass(frozen=True)
class HeldOut:
    """sha256: over labels and files, of nothing where there are none.  images, metrics: by split, as a manifest has."""

    sha256: str = hashlib.sha256().hexdigest()
    images: dict[str, int] = field(default_factory=dict)
    metrics: dict[str, dict[str, MetricEstimate]] = field(default_factory=dict)


def measure_held_out(folder: Path, labels: tuple[str, ...], task: Task, spec: PreprocessSpec, infer: Infer) -> HeldOut:
    """Ask the model about every image of class folders that are named as labels are. Raises ExportError."""
    dataset = read_dataset(folder, task=task)
    unknown = [label for label in dataset.labels if label not in labels]
    if unknown:
        raise ExportError(
            f"{folder}: expected folders named as the model's labels are, found {unknown[0]!r}"
            + (f" and {len(unknown) - 1} more" if len(unknown) > 1 else "")
            + f"; its labels are {', '.join(labels[:3])} ... Rename them, or give other --labels."
        )
    place = {label: number for number, label in enumerate(labels)}
    digest = hashlib.sha256()
    logits, truth, names = [], [], []
    for file in dataset.files:
        data = (dataset.root / file.path).read_bytes()
        try:
            pixels = preprocess(data, spec)
        except ImageError:
            continue
        logits.append(infer(pixels[None])[1][0])
        row = np.zeros(len(labels), np.bool_)
        row[[place[label] for label in file.labels]] = True
        truth.append(row)
        names.append(file.path)
        digest.update(hashlib.sha256(data).digest() + "\0".join(file.labels).encode() + b"\n")
    if not logits:
        raise ExportError(f"{folder}: expected images that can be read, found none. Check --test.")
    thresholds = np.full(len(labels), 0.5)
    settings = Settings(task, labels, 1.0, thresholds, float("-inf"), RESAMPLES)
    scores = SplitScores(np.stack(logits), np.stack(truth), names)
    measured = split_statistics(scores, settings, np.random.default_rng(0))
    return HeldOut(digest.hexdigest(), {"test": len(names)}, {"test": dict(measured.metrics)})
