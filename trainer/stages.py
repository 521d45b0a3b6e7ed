"""The stages of a training: a head on frozen features, the whole network from random weights, or one after the other.

Chooses what the recipe leaves open (epochs, batch size, learning rate), builds the network and runs the loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bundle.manifest import Task
from trainer.augment import augment
from trainer.fit import FitPlan, FitState, fit
from trainer.head import Classifier, Head
from trainer.recipe import Augmentation, Recipe
from trainer.stage_defaults import DEFAULTS, FINE_TUNE, batch_size_of, epochs_of

BACKBONE_RATE = 0.3  # of the head's learning rate, in fine-tuning


class FeatureInputs:
    """Rows of a feature table (N,D) float32, which may be memory-mapped."""

    def __init__(self, features: NDArray[Any]) -> None:
        self.features = features

    def training(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        return self.evaluation(rows)

    def evaluation(self, rows: Tensor) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(self.features[rows.numpy()]))


class PixelInputs:
    """Images (N,H,W,3) uint8, changed at random for training."""

    def __init__(self, images: NDArray[Any], augmentation: Augmentation) -> None:
        self.images = images
        self.augmentation = augmentation

    def training(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        return augment(self.evaluation(rows), self.augmentation, generator)

    def evaluation(self, rows: Tensor) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(self.images[rows.numpy()]))


@dataclass(frozen=True)
class Examples:
    """What every stage learns from. label_matrix: (N,C) bool; the rows index into it and into the inputs."""

    task: Task
    label_matrix: NDArray[np.bool_]
    train_rows: NDArray[np.int64]
    validation_rows: NDArray[np.int64]


def plan_stage(stage: str, recipe: Recipe, examples: Examples, budget_s: float) -> FitPlan:
    """The recipe's choices, and the defaults of the stage where it leaves them open."""
    defaults = DEFAULTS[stage]
    batch_size = batch_size_of(stage, recipe, len(examples.train_rows))
    return FitPlan(
        stage=stage,
        exclusive=examples.task is Task.SINGLE_LABEL,
        epochs=epochs_of(stage, recipe),
        patience=recipe.patience or defaults.patience,
        batch_size=batch_size,
        learning_rate=recipe.learning_rate or defaults.learning_rate * math.sqrt(batch_size / defaults.reference_batch),
        weight_decay=defaults.weight_decay,
        budget_s=budget_s,
        seed=recipe.seed,
        label_weights=_label_weights(examples) if recipe.class_weighting else None,
        evaluation_batch=defaults.evaluation_batch,
        train_probe=defaults.train_probe,
    )


def run_stage(
    model: Head | Classifier,
    inputs: FeatureInputs | PixelInputs,
    examples: Examples,
    plan: FitPlan,
    *,
    state: FitState | None,
    on_step: Callable[[int, int], None],
    on_epoch: Callable[[dict[str, Any], FitState], None],
) -> FitState:
    """One stage of training; in fine-tuning the encoder learns more slowly than the head."""
    slow = None
    if isinstance(model, Classifier):
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        slow = (model.encoder, BACKBONE_RATE) if plan.stage == FINE_TUNE else None
    return fit(
        model, inputs, examples.label_matrix, examples.train_rows, examples.validation_rows, plan,
        state=state, slow_parameters=slow, on_step=on_step, on_epoch=on_epoch,
    )  # fmt: skip


# The state of an unfinished stage, as tensors and text for a safetensors file

_TENSOR_GROUPS = ("best", "average", "weights", "optimizer")


def pack_state(state: FitState) -> tuple[dict[str, Tensor], dict[str, str]]:
    tensors = {f"{group}/{name}": value for group in _TENSOR_GROUPS for name, value in getattr(state, group).items()}
    scalars = {f.name: repr(getattr(state, f.name)) for f in fields(state) if f.name not in _TENSOR_GROUPS}
    return {name: value.clone() for name, value in tensors.items()}, scalars


def unpack_state(tensors: dict[str, Tensor], scalars: dict[str, str]) -> FitState:
    state = FitState(
        epoch=int(scalars["epoch"]),
        step=int(scalars["step"]),
        elapsed_s=float(scalars["elapsed_s"]),
        planned_epochs=int(scalars["planned_epochs"]),
        best_loss=float(scalars["best_loss"]),
        best_epoch=int(scalars["best_epoch"]),
        finished=scalars["finished"] == "True",
    )
    for key, value in tensors.items():
        group, name = key.split("/", 1)
        getattr(state, group)[name] = value
    return state


def _label_weights(examples: Examples) -> Tensor:
    counts = examples.label_matrix[examples.train_rows].sum(0).clip(1)
    if examples.task is Task.SINGLE_LABEL:
        weights = counts.sum() / (len(counts) * counts)
    else:
        weights = np.clip((len(examples.train_rows) - counts) / counts, 1, 20)
    return torch.as_tensor(weights, dtype=torch.float32)
