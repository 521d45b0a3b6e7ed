"""The run folder: what a training leaves behind, and the only place that knows its file names. Reads without torch.

recipe.json  snapshot.json  model.json      what was asked for, on which images, with which network
events.jsonl                                append-only: stages, progress, one row an epoch
best.safetensors  last.safetensors          weights (the head's; the encoder's too where it was trained)
resume.safetensors                          state of an unfinished training, removed at its end
predictions.npz  statistics.json  report.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from bundle.reasons import first_complaint
from trainer.data.snapshot import Snapshot
from trainer.errors import RunError
from trainer.recipe import Recipe

ModelChoice = Literal["best", "last"]


class RunFolder:
    """A run folder. Reading methods raise RunError with what is missing and how to get it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recipe_path = folder / "recipe.json"
        self.snapshot_path = folder / "snapshot.json"
        self.model_path = folder / "model.json"
        self.events_path = folder / "events.jsonl"
        self.resume_path = folder / "resume.safetensors"
        self.predictions_path = folder / "predictions.npz"
        self.statistics_path = folder / "statistics.json"
        self.report_path = folder / "report.html"

    def weights_path(self, choice: ModelChoice) -> Path:
        return self.folder / f"{choice}.safetensors"

    @property
    def exists(self) -> bool:
        return self.recipe_path.is_file()

    @property
    def begun(self) -> bool:
        """Whether there is something to lose: before the snapshot there are only features, which the cache keeps."""
        return self.exists and self.snapshot_path.is_file()

    @property
    def trained(self) -> bool:
        return self.weights_path("best").is_file() and self.statistics_path.is_file()

    @property
    def complete(self) -> bool:
        """Trained to its end; a training that was interrupted may have a usable model, and can go on."""
        return self.trained and not self.resume_path.is_file()

    def recipe(self) -> Recipe:
        document = self.read_json(self.recipe_path)
        try:
            return Recipe.model_validate(document)
        except ValidationError as error:
            raise RunError(
                f"{self.recipe_path}: expected a recipe, found {first_complaint(error)}. Train again."
            ) from error

    def snapshot(self) -> Snapshot:
        return Snapshot.load(self.require(self.snapshot_path))

    def events(self, event: str | None = None) -> Iterator[dict[str, Any]]:
        """Rows of events.jsonl, oldest first; a torn last line (power cut) is passed over."""
        if not self.events_path.is_file():
            return
        with self.events_path.open(encoding="utf-8") as file:
            for line in file:
                try:
                    row = json.loads(line)
                except ValueError:
                    continue
                if event is None or row.get("event") == event:
                    yield row

    def history(self) -> list[dict[str, Any]]:
        """One row an epoch, in order, with `epoch` counted through all stages.

        What a resume ran again counts once, the later; epochs beyond it belong to the life that was cut off.
        """
        rows: list[dict[str, Any]] = []
        for row in self.events("epoch"):
            while rows and rows[-1]["stage"] == row["stage"] and rows[-1]["epoch"] >= row["epoch"]:
                rows.pop()
            rows.append(row)
        return [{**row, "epoch": number} for number, row in enumerate(rows, start=1)]

    def best_epoch(self) -> int | None:
        """The epoch of `history` that gave the best model; None where none was better than nothing."""
        return next((row["epoch"] for row in reversed(self.history()) if row["best"]), None)

    def require_text(self, path: Path) -> str:
        """The text of one of the run's files. Raises RunError where the run is not that far."""
        return self.require(path).read_text(encoding="utf-8")

    def read_json(self, path: Path) -> dict[str, Any]:
        self.require(path)
        try:
            document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise RunError(f"{path}: expected JSON, found {error}. Train again.") from error
        return document

    def require(self, path: Path) -> Path:
        """One of the run's files, which must be there. Raises RunError that says how far the run is."""
        if not self.exists:
            found = "another folder" if self.folder.is_dir() else "a file" if self.folder.exists() else "nothing there"
            raise RunError(f"{self.folder}: expected a run folder, found {found}. Make one with `onsight train`.")
        if not path.is_file():
            raise RunError(
                f"{self.folder}: expected {path.name} of a finished run, found none. Was it cut off? Go on with"
                f" `onsight train --resume --out {self.folder}`."
            )
        return path
