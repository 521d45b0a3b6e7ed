"""Where a job is, out of the events that the trainer appends: stage, share done, time left, the last epoch.

Reads what was appended since the last look, so a long training costs no more than a short one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_EPOCH_FIELDS = ("epoch", "planned_epochs", "validation_loss", "train_loss", "validation_accuracy", "train_accuracy")


class EventTail:
    """Follows one events.jsonl. budget_s: the time that training itself may take, for estimates before it begins."""

    def __init__(self, path: Path, budget_s: float) -> None:
        self._path, self._budget_s = path, budget_s
        self._offset = 0
        self._stage_began: dict[str, tuple[float, int]] = {}  # stage -> (at_s, done) of its first sign
        self._last_at_s = 0.0
        self.state: dict[str, Any] = {}

    def read(self) -> dict[str, Any] | None:
        """The progress now, for the job's row; None where nothing has changed."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return None
        whole = data[: data.rfind(b"\n") + 1]  # a line that is still being written waits
        self._offset += len(whole)
        changed = False
        for line in whole.splitlines():
            try:
                row = json.loads(line)
            except ValueError:  # torn by a crash
                continue
            changed |= self._take(row)
        return dict(self.state) if changed else None

    def _take(self, row: dict[str, Any]) -> bool:
        event, at_s = row.get("event"), float(row.get("at_s", 0))
        if event == "start":  # a new life: what the one before took says nothing of this one
            self._stage_began.clear()
            self.state.pop("eta_s", None)
        elif event == "progress":
            self._progress(str(row["stage"]), int(row["done"]), int(row["total"]), at_s)
        elif event == "epoch":
            self.state |= {name: row[name] for name in _EPOCH_FIELDS if name in row}
            if row.get("best"):
                self.state |= {"best_epoch": row["epoch"], "best_validation_loss": row.get("validation_loss")}
        elif event == "message":
            self.state["message"] = row["text"]
        else:
            return False
        return True

    def _progress(self, stage: str, done: int, total: int, at_s: float) -> None:
        self.state |= {"stage": stage, "done": done, "total": total}
        began_s, first = self._stage_began.setdefault(stage, (at_s, done))
        if done > first:
            left_s = (at_s - began_s) / (done - first) * max(0, total - done)
            reading = stage in ("features", "images")
            self.state["eta_s"] = round(left_s + self._budget_s if reading else min(left_s, self._budget_s), 1)
