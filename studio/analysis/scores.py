"""What one model said of the images of one split, opened from a run folder and kept for the next question.

Figures follow from the recorded scores; an image is never opened. Arrays are read-only: many threads ask at once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bundle.manifest import Task
from studio.errors import Conflict, Invalid, NotFound
from trainer.data.split import SPLITS, Split
from trainer.errors import RunError
from trainer.predictions import read_predictions
from trainer.run_folder import ModelChoice, RunFolder
from trainer.statistics import Statistics, models_from_json
from trainer.statistics.scores import image_losses
from trainer.statistics.splits import split_probabilities

MODELS_KEPT: Final = 4  # of 100,000 images and 20 labels, one is 25 MB


@dataclass(frozen=True)
class Ranked:
    """C arrays each, ascending float32: scores of the images that may get a label, and of those that carry it too.

    positives: (C,) images that carry it, whether they may get it or not.
    """

    candidates: tuple[NDArray[np.float32], ...]
    hits: tuple[NDArray[np.float32], ...]
    positives: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scored:
    """N images of one split, C labels.

    paths: N, as in the snapshot.  truth: (N, C) bool.  probabilities: (N, C) float32, after temperature; both lie in
    memory label by label (column-major), without which figures at new thresholds take ten times as long.
    losses: (N,) float64, cross-entropy in nats.  default_thresholds: (C,) float32, those that the model was measured
    with; single-label: 0.  average_precisions: C, None where no image carries the label.
    """

    task: Task
    labels: tuple[str, ...]
    paths: tuple[str, ...]
    truth: NDArray[np.bool_]
    probabilities: NDArray[np.float32]
    losses: NDArray[np.float64]
    default_thresholds: NDArray[np.float32]
    average_precisions: tuple[float | None, ...]

    def __len__(self) -> int:
        return len(self.paths)

    @cached_property
    def top(self) -> NDArray[np.int64]:
        """(N,) the most probable label's place; of equals the first."""
        top: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return top

    @cached_property
    def claimable(self) -> NDArray[np.bool_]:
        """(N, C) where a label may be claimed at all: everywhere, or, single-label, the most probable alone."""
        if self.task is Task.MULTI_LABEL:
            return np.broadcast_to(np.True_, self.truth.shape)
        own: NDArray[np.bool_] = self.top[:, None] == np.arange(len(self.labels))  # (N,1), (C,) -> (N,C)
        return own

    @cached_property
    def ranked(self) -> Ranked:
        """Sorted once, so that counts at any thresholds are a search in each label's scores."""
        may = [self.claimable[:, place] for place in range(len(self.labels))]
        scores = [self.probabilities[rows, place] for place, rows in enumerate(may)]
        carried = [self.truth[rows, place] for place, rows in enumerate(may)]
        return Ranked(
            tuple(np.sort(each) for each in scores),
            tuple(np.sort(each[own]) for each, own in zip(scores, carried, strict=True)),
            np.count_nonzero(self.truth, axis=0).astype(np.float64),
        )

    def decided(self, thresholds: NDArray[np.float32]) -> NDArray[np.bool_]:
        """(N, C) what is claimed, as `bundle.decide.decide` does: what is claimable and reaches its threshold (C,)."""
        return self.claimable & (self.probabilities >= thresholds)

    def place(self, label: str) -> int:
        """Raises NotFound where the model does not know the label."""
        try:
            return self.labels.index(label)
        except ValueError:
            raise NotFound(f"The model has no label {label!r}.", "LABEL_NOT_FOUND") from None

    def thresholds(self, given: Sequence[float] | None) -> NDArray[np.float32]:
        """(C,) float32: what the caller chose, or the model's own. Raises Invalid unless one a label, in [0, 1]."""
        return self.default_thresholds if given is None else checked_thresholds(given, self.labels)


def checked_thresholds(given: Sequence[float], labels: Sequence[str]) -> NDArray[np.float32]:
    """(C,) float32. Raises Invalid unless one a label, in [0, 1]."""
    values = np.asarray(given, np.float32)
    if values.shape != (len(labels),) or not ((values >= 0) & (values <= 1)).all():
        raise Invalid(
            f"thresholds: expected {len(labels)} numbers from 0 to 1, one a label in the model's order, found"
            f" {len(given)}{'' if len(given) != len(labels) else ', some outside'}."
        )
    return values


class Model:
    """The best or the last model of a run, with its recorded scores."""

    def __init__(self, folder: Path, choice: ModelChoice) -> None:
        """Raises Conflict where the run has no such figures: not yet, or no more."""
        self._run, self._choice = RunFolder(folder), choice
        try:
            self.statistics: Statistics = models_from_json(self._run.require_text(self._run.statistics_path))[choice]
            self._predictions = read_predictions(self._run, choice)
        except (RunError, ValueError, KeyError) as error:
            raise Conflict("This model has no statistics yet, or its files are damaged.", "NOT_MEASURED") from error
        if self._predictions.truth.shape[1] != len(self.statistics.labels):
            raise Conflict("This model's scores and statistics do not belong together.", "NOT_MEASURED")
        self._scored: dict[Split, Scored] = {}
        self._lock = threading.Lock()

    @property
    def labels(self) -> tuple[str, ...]:
        return self.statistics.labels

    def scored(self, split: Split) -> Scored:
        """Raises NotFound where the split has no images."""
        with self._lock:
            if split not in self._scored:
                self._scored[split] = self._score(split)
            return self._scored[split]

    @cached_property
    def digests(self) -> dict[str, str]:
        """SHA-256 of each image's file, by path."""
        snapshot = self._run.snapshot()
        return dict(zip(snapshot.paths, snapshot.sha256, strict=True))

    def _score(self, split: Split) -> Scored:
        rows = np.flatnonzero(self._predictions.splits == SPLITS.index(split))
        if not len(rows) or split.value not in self.statistics.splits:
            raise NotFound(f"This model has no {split.value} images.", "SPLIT_NOT_FOUND")
        found, task = self._predictions, self.statistics.task
        logits, temperature = found.logits[rows], self.statistics.calibration.temperature
        arrays = (
            np.asfortranarray(found.truth[rows]),  # figures are asked for label by label: a column lies together
            np.asfortranarray(split_probabilities(logits, task, temperature)),
            image_losses(logits, found.truth[rows], task, temperature),
            np.asarray(self.statistics.thresholds.values, np.float32),
        )
        for array in arrays:
            array.setflags(write=False)
        measured = self.statistics.splits[split.value].classes
        paths = tuple(found.paths[row] for row in rows.tolist())
        return Scored(task, self.labels, paths, *arrays, tuple(each.average_precision for each in measured))


class ModelCache:
    """The models that were asked for last, for all threads of a process; one that was measured anew is read anew."""

    def __init__(self, kept: int = MODELS_KEPT) -> None:
        self._models: OrderedDict[tuple[Path, str], tuple[int, Model]] = OrderedDict()
        self._kept = kept
        self._lock = threading.Lock()

    def open(self, folder: Path, choice: ModelChoice) -> Model:
        """Raises Conflict as `Model` does."""
        key = (folder, choice)
        try:
            written_ns = RunFolder(folder).statistics_path.stat().st_mtime_ns
        except OSError:
            written_ns = -1
        with self._lock:
            found = self._models.get(key)
            if found is not None and found[0] == written_ns:
                self._models.move_to_end(key)
                return found[1]
        model = Model(folder, choice)  # without the lock: it may take a second, and others wait for other models
        with self._lock:
            self._models[key] = (written_ns, model)
            self._models.move_to_end(key)
            while len(self._models) > self._kept:
                self._models.popitem(last=False)
        return model
