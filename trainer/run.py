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
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from bundle.manifest import Frozen, PreprocessSpec, Task
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
    def trained(self) -> bool:
        return self.weights_path("best").is_file() and self.statistics_path.is_file()

    def recipe(self) -> Recipe:
        return Recipe.model_validate(self._read_json(self.recipe_path))

    def snapshot(self) -> Snapshot:
        self._require(self.snapshot_path)
        return Snapshot.load(self.snapshot_path)

    def model(self) -> ModelDescription:
        document = self._read_json(self.model_path)
        try:
            return ModelDescription.model_validate(document)
        except ValidationError as error:
            raise RunError(f"{self.model_path}: expected a model description, found {error.errors()[0]}") from error

    def classifier(self, choice: ModelChoice, backbone_folder: Path | None = None) -> Classifier:
        """Build the network and load the chosen weights, in evaluation mode.

        backbone_folder: where the backbone lies now, if it has moved; its digest must be the run's.
        """
        description = self.model()
        spec = description.backbone
        if backbone_folder is not None and spec.folder is not None:
            spec = BackboneSpec(**{**spec.__dict__, "folder": str(backbone_folder)})
        check_backbone(spec)
        encoder = load_encoder(spec)
        head = Head(description.feature_count, len(description.labels), description.hidden_units)
        network = Classifier(encoder, head)
        weights = self.load_tensors(self.weights_path(choice))
        target = network if description.encoder_trained else network.head
        target.load_state_dict(weights)
        return network.eval()

    # Writing

    def write_json(self, path: Path, document: Mapping[str, Any]) -> None:
        self.write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")

    def write_text(self, path: Path, text: str) -> None:
        temporary = path.with_name(path.name + ".part")
        temporary.write_text(text)
        temporary.replace(path)

    def append_event(self, event: str, **fields: Any) -> None:
        """One line in events.jsonl; `at_s` is seconds since the epoch."""
        with self.events_path.open("a") as file:
            file.write(json.dumps({"event": event, "at_s": round(time.time(), 3), **fields}) + "\n")

    def events(self, event: str | None = None) -> Iterator[dict[str, Any]]:
        """Rows of events.jsonl, oldest first; a torn last line (power cut) is passed over."""
        if not self.events_path.is_file():
            return
        with self.events_path.open() as file:
            for line in file:
                try:
                    row = json.loads(line)
                except ValueError:
                    continue
                if event is None or row.get("event") == event:
                    yield row

    def history(self) -> list[dict[str, Any]]:
        """One row an epoch, in order; an epoch that was run again after a resume counts once, the later."""
        rows: dict[tuple[str, int], dict[str, Any]] = {}
        for row in self.events():
            if row["event"] == "start" and not row.get("resumed"):
                rows = {}
            elif row["event"] == "epoch":
                rows[row["stage"], row["epoch"]] = row
        return list(rows.values())

    def save_tensors(
        self, path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
    ) -> None:
        temporary = path.with_name(path.name + ".part")
        temporary.write_bytes(save(dict(tensors), {"format": "pt", **(metadata or {})}))
        temporary.replace(path)

    def load_tensors(self, path: Path) -> dict[str, Tensor]:
        return self.load_tensors_and_metadata(path)[0]

    def load_tensors_and_metadata(self, path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
        self._require(path)
        try:
            with safe_open(path, "pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise RunError(f"{path}: expected safetensors, found a damaged file ({error}). Train again.") from error

    def require_text(self, path: Path) -> str:
        """The text of one of the run's files. Raises RunError where the run is not that far."""
        self._require(path)
        return path.read_text()

    def _read_json(self, path: Path) -> dict[str, Any]:
        self._require(path)
        try:
            document: dict[str, Any] = json.loads(path.read_text())
        except ValueError as error:
            raise RunError(f"{path}: expected JSON, found {error}. Train again.") from error
        return document

    def _require(self, path: Path) -> None:
        if not self.folder.is_dir():
            raise RunError(f"{self.folder}: expected a run folder, found nothing there. Make one with `onsight train`.")
        if not path.is_file():
            raise RunError(
                f"{self.folder}: expected {path.name} of a finished run, found none. Was it cut off before its first"
                " epoch? Go on with `onsight train --resume`."
            )
