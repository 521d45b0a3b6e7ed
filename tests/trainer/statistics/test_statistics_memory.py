"""What the statistics of many labels take: the scores themselves and little more, whatever the number of labels."""

from __future__ import annotations

import tracemalloc

import numpy as np

from bundle.manifest import Task
from trainer.statistics import SplitScores, compute_statistics

IMAGES, LABELS = 20_000, 40


def test_no_full_curve_of_every_label_is_kept() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(IMAGES, LABELS)).astype(np.float32)  # every score another: a point each
    truth = random.random((IMAGES, LABELS)) < 0.1
    names = [str(row) for row in range(IMAGES)]
    tracemalloc.start()
    compute_statistics(
        Task.MULTI_LABEL, names[:LABELS], {"validation": SplitScores(logits, truth, names)}, resamples=20
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * logits.nbytes  # 14 as it is, 19 with all full curves
