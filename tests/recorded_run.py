"""A run folder as a training leaves it, of recorded scores: no image, no network, no weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bundle.manifest import Task
from trainer.data.snapshot import Snapshot
from trainer.data.split import SPLITS
from trainer.predictions import write_predictions
from trainer.recipe import Recipe
from trainer.run_folder import RunFolder
from trainer.statistics import SplitScores, compute_statistics, models_to_json

LABELS = ("=cat", "dog", "ünknown")
IMAGES = 300


def make_run(
    folder: Path, task: Task, *, seed: int = 0, skill: float = 1.5, first: int = 0, names: Sequence[str] | None = None
) -> Path:
    """Images are numbered from `first`, or have these names, in the order of the alphabet."""
    rng = np.random.default_rng(seed)
    numbers = np.arange(first, first + (IMAGES if names is None else len(names)))
    paths = tuple(f"{number:05}.png" for number in numbers) if names is None else tuple(sorted(names))
    if task is Task.SINGLE_LABEL:
        truth = np.eye(3, dtype=np.bool_)[numbers % 3]
    else:
        truth = np.stack([numbers % 2 == 0, numbers % 3 == 0, numbers % 5 == 0], axis=1)
    logits = {
        name: (rng.normal(size=truth.shape) + skill * scale * truth - 0.5).astype(np.float32)
        for name, scale in (("best", 1.0), ("last", 0.8))
    }
    splits = (np.arange(len(numbers)) // 30 % 3).astype(np.int8)  # each with all labels
    snapshot = Snapshot(
        root="/images", task=task, labels=LABELS, default_label=None,
        paths=paths, sha256=tuple(f"{number:064x}" for number in numbers),
        label_matrix=truth, splits=splits, groups=np.arange(len(numbers)),
    )  # fmt: skip
    run = RunFolder(folder)
    folder.mkdir(parents=True)
    run.recipe_path.write_text(Recipe(images="/images").model_dump_json())
    snapshot.save(run.snapshot_path)
    write_predictions(run, snapshot, logits)  # type: ignore[arg-type]
    run.statistics_path.write_text(
        models_to_json(
            {
                name: compute_statistics(
                    task, LABELS,
                    {
                        split.value: SplitScores(
                            found[splits == code], truth[splits == code],
                            [snapshot.paths[row] for row in np.flatnonzero(splits == code)],
                        )
                        for code, split in enumerate(SPLITS)
                    },
                    resamples=50,
                )
                for name, found in logits.items()
            }
        )
    )  # fmt: skip
    return folder
