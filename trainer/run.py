"""The run folder with its network: build it, load and save weights, write what a training leaves."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
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
from trainer.errors import RunError
from trainer.head import Classifier, Head
from trainer.run_folder import ModelChoice, RunFolder


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


class Run(RunFolder):
    """A run folder that is trained into, or whose network is wanted."""

    def model(self) -> ModelDescription:
        document = self.read_json(self.model_path)
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
