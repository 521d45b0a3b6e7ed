"""predictions.npz of a run: the scores of every image, by the best and the last model, and what is true of it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bundle.files import atomic_file
from trainer.data.snapshot import Snapshot
from trainer.errors import RunError
from trainer.run_folder import ModelChoice, RunFolder


@dataclass(frozen=True)
class Predictions:
    """N images in the snapshot's order, C labels.

    paths: N, relative to the folder of images.  splits: (N,) int8, 0 train, 1 validation, 2 test.
    truth: (N, C) bool.  logits: (N, C) float32 of the chosen model, before temperature.
    """

    paths: tuple[str, ...]
    splits: NDArray[np.int8]
    truth: NDArray[np.bool_]
    logits: NDArray[np.float32]


def write_predictions(run: RunFolder, snapshot: Snapshot, logits: Mapping[ModelChoice, NDArray[np.float32]]) -> None:
    """logits: (N, C) float32 of each model."""
    with atomic_file(run.predictions_path) as file:
        np.savez_compressed(
            file,
            paths=np.asarray(snapshot.paths),
            splits=snapshot.splits,
            truth=snapshot.label_matrix,
            best_logits=logits["best"],
            last_logits=logits["last"],
        )


def read_predictions(run: RunFolder, choice: ModelChoice) -> Predictions:
    """Raises RunError where there are none yet, or the file is not such a one."""
    path = run.require(run.predictions_path)
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            found = Predictions(tuple(file["paths"].tolist()), file["splits"], file["truth"], file[f"{choice}_logits"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise RunError(f"{path}: expected the run's predictions, found a damaged file. Train again.") from error
    rows = len(found.paths)
    if found.splits.shape != (rows,) or found.truth.shape != found.logits.shape or len(found.logits) != rows:
        raise RunError(f"{path}: expected one row an image, found arrays that do not fit. Train again.")
    return found
