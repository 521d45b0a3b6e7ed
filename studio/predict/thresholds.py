"""The thresholds that a person saved for a model."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from trainer.run_folder import ModelChoice


def saved_thresholds(
    connection: Connection, training_id: int, choice: ModelChoice, labels: Sequence[str]
) -> tuple[float, ...] | None:
    """In the order of `labels`; None where nobody saved any."""
    return None
