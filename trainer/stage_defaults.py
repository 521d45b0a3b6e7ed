"""What each stage of a training does where the recipe leaves it open. Without torch: the studio foretells by it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trainer.recipe import Recipe

HEAD, NETWORK, FINE_TUNE = "head", "network", "fine_tune"
WORK = {HEAD: "training the head", NETWORK: "training the network", FINE_TUNE: "fine-tuning the network"}


@dataclass(frozen=True)
class StageDefaults:
    """learning_rate: at the reference batch size; it grows with the root of the batch size (Malladi et al. 2022)."""

    epochs: int
    patience: int
    learning_rate: float
    reference_batch: int
    weight_decay: float
    evaluation_batch: int
    train_probe: int


DEFAULTS = {
    HEAD: StageDefaults(40, 12, 1e-3, 128, 1e-2, 4096, 1000),
    NETWORK: StageDefaults(60, 12, 2e-3, 64, 5e-2, 128, 512),
    FINE_TUNE: StageDefaults(12, 4, 3e-4, 32, 1e-2, 64, 256),
}
_BATCHES = {HEAD: (16, 256), NETWORK: (16, 64), FINE_TUNE: (16, 64)}  # smallest and largest, chosen by the count


def batch_size_of(stage: str, recipe: Recipe, images: int) -> int:
    """images: to be trained on."""
    least, most = _BATCHES[stage]
    automatic: int = 2 ** round(math.log2(max(1, images) / 16))
    return recipe.batch_size or min(max(automatic, least), most)


def epochs_of(stage: str, recipe: Recipe) -> int:
    """At most."""
    return recipe.epochs or DEFAULTS[stage].epochs


def steps_of(stage: str, recipe: Recipe, images: int) -> int:
    """Optimiser steps if neither patience nor the budget ends it earlier."""
    batches = max(1, round(images / batch_size_of(stage, recipe, images)))
    return epochs_of(stage, recipe) * batches


def stages_of(recipe: Recipe) -> tuple[str, ...]:
    """In their order."""
    if recipe.backbone is None or recipe.random_weights:
        return (NETWORK,)
    return (HEAD, FINE_TUNE) if recipe.fine_tune else (HEAD,)
