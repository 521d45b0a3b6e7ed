"""The thresholds that a person saved for a model: what predictions in the studio go by from then on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from studio.database.tables import model_thresholds
from trainer.run_folder import ModelChoice


def saved_thresholds(
    connection: Connection, training_id: int, choice: ModelChoice, labels: Sequence[str]
) -> tuple[float, ...] | None:
    """In the order of `labels`; None where nobody saved any, or for another set of labels."""
    values = connection.scalar(select(model_thresholds.c["values"]).where(_of(training_id, choice)))
    return None if values is None or len(values) != len(labels) else tuple(values)


def save_thresholds(
    connection: Connection, training_id: int, choice: ModelChoice, values: Sequence[float] | None, user_id: int | None,
    now: datetime,
) -> None:  # fmt: skip
    """values: one a label in the model's order; None goes back to the model's own."""
    connection.execute(delete(model_thresholds).where(_of(training_id, choice)))
    if values is not None:
        connection.execute(
            insert(model_thresholds).values(
                {"training_id": training_id, "choice": choice, "values": list(values), "user_id": user_id,
                 "saved_at": now}
            )
        )  # fmt: skip


def _of(training_id: int, choice: ModelChoice) -> Any:
    return (model_thresholds.c.training_id == training_id) & (model_thresholds.c.choice == choice)
