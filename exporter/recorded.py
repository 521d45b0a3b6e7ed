"""What the run's report was made from: the recorded scores of its images, and the figures that follow from them.

In this order: read predictions.npz, hold it against the snapshot, hold the statistics against it. So a temperature or a
figure that was changed after training, or files of two runs in one folder, never reach a bundle. Never changes the run.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bundle.decide import probabilities_from_logits
from bundle.manifest import Task
from exporter.errors import ExportError
from trainer.data.snapshot import Snapshot
from trainer.data.split import SPLITS
from trainer.predictions import read_predictions
from trainer.run import Run
from trainer.run_folder import ModelChoice
from trainer.statistics import SplitScores, Statistics
from trainer.statistics.scores import image_losses
from trainer.statistics.splits import Settings, split_statistics

RESAMPLES = 1000  # of the bootstrap, as the trainer takes them
FIGURE_TOLERANCE = 1e-4  # relative and absolute; statistics.json holds six significant digits


def read_recorded(run: Run, choice: ModelChoice, snapshot: Snapshot) -> NDArray[np.float32]:
    """Logits (N,C) of the snapshot's images, as the trainer computed them. Raises RunError or ExportError."""
    path = run.predictions_path
    found = read_predictions(run, choice)
    paths, logits = found.paths, found.logits
    wanted = (len(snapshot.paths), len(snapshot.labels))
    if paths != snapshot.paths or logits.shape != wanted or logits.dtype != np.float32:
        raise ExportError(
            f"{path}: expected scores {wanted} of this run's {len(snapshot.paths):,} images, found {logits.shape} of"
            f" {len(paths):,}: it belongs to another run. Train again."
        )
    if not np.isfinite(logits).all():
        raise ExportError(f"{path}: expected finite scores, found others: the training diverged. Train again.")
    return logits


def check_statistics(run: Run, statistics: Statistics, snapshot: Snapshot, logits: NDArray[np.float32]) -> None:
    """Raise ExportError unless the statistics follow from the recorded scores.

    Compared: labels, images of each split, cross-entropy after the temperature, and the share of images decided right
    (by the thresholds, where there may be several labels).
    """
    where = run.statistics_path
    if statistics.labels != snapshot.labels or statistics.task is not snapshot.task:
        raise ExportError(f"{where}: expected the labels of this run's snapshot, found others. Train again.")
    temperature = statistics.calibration.temperature
    for code, split in enumerate(SPLITS):
        rows = np.flatnonzero(snapshot.splits == code)
        measured = statistics.splits.get(split.value)
        if len(rows) != (0 if measured is None else measured.images):
            raise ExportError(
                f"{where}: expected figures of {len(rows):,} {split.value} images, found"
                f" {0 if measured is None else measured.images:,}. Train again."
            )
        if measured is None:
            continue
        truth = snapshot.label_matrix[rows]
        loss = float(image_losses(logits[rows], truth, snapshot.task, temperature).mean())
        name = "accuracy" if snapshot.task is Task.SINGLE_LABEL else "exact_match"
        right = _share_right(logits[rows], truth, snapshot.task, temperature, statistics.thresholds.values)
        for figure, expected in (("cross_entropy", loss), (name, right)):
            found = measured.metrics.get(figure)
            if found is None or abs(found.value - expected) > FIGURE_TOLERANCE * max(1.0, abs(expected)):
                raise ExportError(
                    f"{where}: expected {figure.replace('_', ' ')} {expected:.6g} on {split.value} images, as"
                    f" {run.predictions_path.name} says, found {'none' if found is None else f'{found.value:.6g}'}:"
                    " one of the two files was changed after training. Train again."
                )


def decided_by(
    statistics: Statistics, thresholds: Mapping[str, float], snapshot: Snapshot, logits: NDArray[np.float32]
) -> Statistics:
    """The same model with other thresholds, and the figures that follow from them.

    thresholds: label -> 0 to 1; labels that it does not name keep theirs.  logits: recorded, (N,C).  Single-label
    figures are those of the most probable label, whatever its threshold. Raises ExportError.
    """
    labels, task = statistics.labels, statistics.task
    for label, value in thresholds.items():
        if label not in labels or not 0 <= value <= 1:
            raise ExportError(
                f"thresholds: expected a number from 0 to 1 for labels of the model, found {label!r}: {value}."
            )
    before = dict(zip(labels, statistics.thresholds.values, strict=True))
    values = tuple(float(thresholds.get(label, before[label])) for label in labels)
    assert statistics.unknown is not None  # the trainer's always have one
    splits = dict(statistics.splits)
    if task is Task.MULTI_LABEL:
        energy, temperature = statistics.unknown.energy_threshold, statistics.calibration.temperature
        settings = Settings(task, labels, temperature, np.asarray(values, np.float64), energy, RESAMPLES)
        for code, split in enumerate(SPLITS):
            rows = np.flatnonzero(snapshot.splits == code)
            if len(rows):
                names = [snapshot.paths[row] for row in rows.tolist()]
                scores = SplitScores(logits[rows], snapshot.label_matrix[rows].astype(np.bool_), names)
                splits[split.value] = split_statistics(scores, settings, np.random.default_rng(code))
    chosen = statistics.thresholds.model_copy(update={"values": values})
    return statistics.model_copy(update={"thresholds": chosen, "splits": splits})


def _share_right(
    logits: NDArray[np.float32],
    truth: NDArray[np.bool_],
    task: Task,
    temperature: float,
    thresholds: tuple[float, ...],
) -> float:
    if task is Task.SINGLE_LABEL:
        return float((logits.argmax(1) == truth.argmax(1)).mean())
    probabilities = probabilities_from_logits(logits, task, temperature)
    decided = probabilities >= np.asarray(thresholds, np.float32)
    return float((decided == truth).all(axis=1).mean())
