"""Statistics of made scores, a run's facts and its history: everything that a report is rendered from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bundle.manifest import Task
from trainer.report import RunInfo
from trainer.statistics import SplitScores, Statistics, compute_statistics

HOSTILE_LABELS = ("<script>alert(1)</script>", "</script>", "\"double\" & 'single'")


def made_statistics(
    task: Task,
    labels: Sequence[str],
    splits: Sequence[str] = ("train", "validation", "test"),
    images: int = 60,
    seed: int = 0,
) -> Statistics:
    rng = np.random.default_rng(seed)
    scores = {}
    for split in splits:
        truth = np.zeros((images, len(labels)), dtype=np.bool_)
        if task is Task.SINGLE_LABEL:
            truth[np.arange(images), rng.integers(0, len(labels), images)] = True
        else:
            truth = rng.random(truth.shape) < 0.4
        logits = (rng.normal(size=truth.shape) + 2 * truth - 1).astype(np.float32)
        names = [f"{split}/<b>{row}</b>.jpg" for row in range(images)]
        scores[split] = SplitScores(logits, truth, names)
    return compute_statistics(task, labels, scores, resamples=20)


def made_run(task: Task, labels: Sequence[str], **changes: object) -> RunInfo:
    facts: dict[str, object] = {
        "name": "</title><script>alert(2)</script>",
        "task": task,
        "labels": tuple(labels),
        "created_at": "2026-05-04T14:32:10Z",
        "backbone": "<i>small</i>",
        "images": {"train": 60, "validation": 60, "test": 60},
        "warnings": [("FEW_IMAGES", "label <u>x</u> has 9 images")],
        "skipped": [("<img src=x onerror=alert(3)>.jpg", "expected an image, found <nothing>")],
        "unlabeled": 2,
        "duration_s": 75.0,
        "best_epoch": 3,
        "recipe": {"minutes": 5, "augmentation": {"flip": True}, "note": "<script>alert(4)</script>"},
        "provenance": {"snapshot": "ab" * 32},
    }
    return RunInfo(**(facts | changes))  # type: ignore[arg-type]


def made_history(epochs: int = 6) -> list[dict[str, object]]:
    return [
        {
            "event": "epoch",
            "epoch": epoch,
            "elapsed_s": 2.0 * epoch,
            "train_loss": 1 / epoch,
            "validation_loss": 1.2 / epoch,
            "train_accuracy": 1 - 0.5 / epoch,
            "validation_accuracy": 1 - 0.6 / epoch,
            "learning_rate": 0.001,
            "best": epoch == 3,
        }
        for epoch in range(1, epochs + 1)
    ]
