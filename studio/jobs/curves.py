"""Learning curves out of a run folder, also while it is being written."""

from __future__ import annotations

from typing import Any

from trainer.run_folder import RunFolder

FIELDS = (
    "epoch", "stage", "at_s", "train_loss", "validation_loss", "train_accuracy", "validation_accuracy", "learning_rate",
    "best",
)  # fmt: skip


def curves_of(run: RunFolder) -> tuple[list[dict[str, Any]], int | None]:
    """One row an epoch, `epoch` counted through all stages, and the epoch of the best model. Empty before the first."""
    rows = [{name: row.get(name) for name in FIELDS} for row in run.history()]
    best = next((row["epoch"] for row in reversed(rows) if row["best"]), None)
    return rows, best
