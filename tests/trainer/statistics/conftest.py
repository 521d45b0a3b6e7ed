"""Made scores with known structure: real arrays, seeded, small."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bundle.manifest import Task
from trainer.statistics import SplitScores

MakeScores = Callable[..., SplitScores]


@pytest.fixture
def make_scores() -> MakeScores:
    """make_scores(task, images, classes, seed=0, signal=2.0): logits that lean towards the truth."""

    def make(task: Task, images: int, classes: int, seed: int = 0, signal: float = 2.0) -> SplitScores:
        rng = np.random.default_rng(seed)
        truth = np.zeros((images, classes), dtype=np.bool_)
        if task is Task.SINGLE_LABEL:
            truth[np.arange(images), rng.integers(0, classes, images)] = True
            logits = rng.normal(size=truth.shape) + signal * truth
        else:
            truth = rng.random(truth.shape) < 0.3
            logits = rng.normal(size=truth.shape) + signal * (truth - 0.5)
        return SplitScores(logits.astype(np.float32), truth, [f"photos/{row}.jpg" for row in range(images)])

    return make
