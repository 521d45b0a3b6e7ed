"""The run folder: what a training leaves behind, and the only place that knows its file names.

recipe.json  snapshot.json  model.json      what was asked for, on which images, with which network
events.jsonl                                append-only: stages, progress, one row an epoch
best.safetensors  last.safetensors          weights (the head's; the encoder's too where it was trained)
resume.safetensors                          state of an unfinished training, removed at its end
predictions.npz  statistics.json  report.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from bundle.files import write_atomically
from bundle.manifest import Frozen, PreprocessSpec, Task
from bundle.reasons import first_complaint
from trainer.backbone import BackboneSpec, check_backbone, load_encoder
from trainer.data.snapshot import Snapshot
from trainer.errors import RunError
from trainer.head import Classifier, Head
from trainer.recipe import Recipe

ModelChoice = Literal["best", "last"]


class ModelDescription(Frozen):
    """The network of a run: enough to build it again and load its weights."""

    schema_version: Literal[1] = 1
    task: Task
    labels: tuple[str, ...]
    preprocessing: PreprocessSpec
    backbone: BackboneSpec
    feature_count: int
    hidden_units: int
    encoder_trained: bool


class Run:
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

    def recipe(self) -> Recipe:
        document = self._read_json(self.recipe_path)
        try:
            return Recipe.model_validate(document)
        except ValidationError as error:
            raise RunError(
                f"{self.recipe_path}: expected a recipe, found {first_complaint(error)}. Train again."
            ) from error

    def snapshot(self) -> Snapshot:
        return Snapshot.load(self.require(self.snapshot_path))

    def model(self) -> ModelDescription:
        document = self._read_json(self.model_path)
        try:
            return ModelDescription.model_validate(document)
        except ValidationError as error:
            raise RunError(
                f"{self.model_path}: expected a model description, found {first_complaint(error)}. Train again."
            ) from error

    def classifier(self, choice: ModelChoice, backbone_folder: Path | None = None) -> Classifier:
        """Build the network and load the chosen weights, in evaluation mode.

        backbone_folder: where the backbone lies now, if it has moved; its digest must be the run's.
        """
        description = self.model()
        spec = description.backbone
        if backbone_folder is not None and spec.folder is not None:
            spec = replace(spec, folder=str(backbone_folder))
        encoder = load_encoder(check_backbone(spec))
        head = Head(description.feature_count, len(description.labels), description.hidden_units)
        network = Classifier(encoder, head)
        path = self.weights_path(choice)
        weights = self.load_tensors(path)
        target = network if description.encoder_trained else network.head
        try:
            target.load_state_dict(weights)
        except RuntimeError as error:  # torch names every tensor, a page of them
            raise RunError(
                f"{path}: expected the weights of the network in {self.model_path.name}, found others. Put this run's"
                " own file back, or train again."
            ) from error
        return network.eval()

    # Writing

    def clear(self) -> None:
        """Remove what an earlier training left behind."""
        for path in (
            self.model_path, self.resume_path, self.snapshot_path, self.events_path, self.statistics_path,
            self.predictions_path, self.report_path, self.weights_path("best"), self.weights_path("last"),
        ):  # fmt: skip
            path.unlink(missing_ok=True)

    def write_json(self, path: Path, document: Mapping[str, Any]) -> None:
        self.write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")

    def write_text(self, path: Path, text: str) -> None:
        write_atomically(path, text.encode(errors="backslashreplace"))  # a file's name may be no UTF-8

    def append_event(self, event: str, **fields: Any) -> None:
        """One line in events.jsonl; `at_s` is seconds since the epoch."""
        with self.events_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event, "at_s": round(time.time(), 3), **fields}) + "\n")

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

    def save_tensors(
        self, path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
    ) -> None:
        write_atomically(path, save(dict(tensors), {"format": "pt", **(metadata or {})}))

    def load_tensors(self, path: Path) -> dict[str, Tensor]:
        return self.load_tensors_and_metadata(path)[0]

    def load_tensors_and_metadata(self, path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
        self.require(path)
        try:
            with safe_open(path, "pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise RunError(f"{path}: expected safetensors, found a damaged file ({error}). Train again.") from error

    def require_text(self, path: Path) -> str:
        """The text of one of the run's files. Raises RunError where the run is not that far."""
        return self.require(path).read_text(encoding="utf-8")

    def _read_json(self, path: Path) -> dict[str, Any]:
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
