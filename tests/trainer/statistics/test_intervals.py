"""The fast ways of resampling against the plain one: draw the images, measure again with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from bundle.manifest import Task
from trainer.statistics import compute_statistics
from trainer.statistics.intervals import (
    RankedLabel,
    image_resamples,
    percentile_interval,
    rank_resamples,
    resample_confusion,
    resample_mean_average_precision,
    resample_sums,
    resample_weights,
)


def test_weights_of_a_resample_sum_to_the_number_of_images():
    weights = np.concatenate(list(resample_weights(50, 30, np.random.default_rng(0))))
    assert weights.shape == (30, 50)
    assert (weights.sum(axis=1) == 50).all()
    assert len(np.unique(weights, axis=0)) == 30


@pytest.mark.parametrize("steps", [3, 1000])
def test_weighted_average_precision_equals_repeating_the_images(steps):
    rng = np.random.default_rng(1)
    truth = rng.random(80) < 0.3
    scores = np.round(rng.random(80) * steps).astype(np.float32)  # few steps: many equal scores
    ranked = RankedLabel(truth, scores)
    weights = np.concatenate(list(resample_weights(80, 20, rng)))
    wanted = [average_precision_score(truth.repeat(row), scores.repeat(row)) for row in weights]
    assert ranked.average_precision(weights).tolist() == pytest.approx(wanted)


def test_a_resample_without_positives_has_no_average_precision():
    ranked = RankedLabel(np.array([True, False]), np.array([0.2, 0.1], dtype=np.float32))
    assert np.isnan(ranked.average_precision(np.array([[0, 2]], dtype=np.uint8)))[0]


def test_mean_average_precision_skips_labels_that_a_resample_missed():
    scores = np.linspace(1, 0, 6).astype(np.float32)
    always, rarely = np.ones(6, dtype=bool), np.arange(6) == 0
    ranked = [RankedLabel(always, scores), RankedLabel(rarely, scores)]
    values = resample_mean_average_precision(ranked, 6, 200, np.random.default_rng(0))
    assert values.tolist() == pytest.approx([1.0] * 200)


def test_resampled_confusions_keep_the_number_of_images_and_their_mean():
    matrix = np.array([[30, 2, 0], [5, 40, 0], [0, 3, 20]])
    drawn = resample_confusion(matrix, 4000, np.random.default_rng(0))
    assert (drawn.true_totals.sum(axis=1) == 100).all()
    assert (drawn.predicted_totals.sum(axis=1) == 100).all()
    assert drawn.hits.mean(axis=0) == pytest.approx(np.diagonal(matrix), rel=0.03)
    assert drawn.true_totals.mean(axis=0) == pytest.approx(matrix.sum(axis=1), rel=0.03)
    assert drawn.predicted_totals.mean(axis=0) == pytest.approx(matrix.sum(axis=0), rel=0.03)


def test_sums_of_resamples_scatter_as_the_theory_says():
    values = np.random.default_rng(0).normal(3, 2, size=(500, 1)).astype(np.float32)
    means = resample_sums(values, 3000, np.random.default_rng(1))[:, 0] / 500
    assert means.mean() == pytest.approx(values.mean(), abs=0.01)
    assert means.std() == pytest.approx(values.std() / np.sqrt(500), rel=0.06)


def test_the_interval_is_the_middle_of_the_samples():
    assert percentile_interval(np.arange(1001.0)) == pytest.approx((25.0, 975.0))
    assert percentile_interval(np.array([np.nan, 1.0])) is None


def test_intervals_agree_with_redrawing_images_and_measuring_again(make_scores):
    scores = make_scores(Task.SINGLE_LABEL, 150, 3)
    found = compute_statistics(Task.SINGLE_LABEL, ["a", "b", "c"], {"test": scores}, resamples=2000).splits["test"]
    truth, decided = scores.truth.argmax(axis=1), scores.logits.argmax(axis=1)
    rng = np.random.default_rng(9)
    drawn = [rng.integers(0, 150, 150) for _ in range(400)]
    for name, measure in (
        ("accuracy", lambda rows: np.mean(truth[rows] == decided[rows])),
        ("f1_macro", lambda rows: f1_score(truth[rows], decided[rows], average="macro")),
    ):
        low, high = np.percentile([measure(rows) for rows in drawn], [2.5, 97.5])
        estimate = found.metrics[name]
        assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=0.015)
        assert estimate.low < estimate.value < estimate.high


def test_every_multi_label_interval_holds_its_value(make_scores):
    scores = make_scores(Task.MULTI_LABEL, 300, 4)
    found = compute_statistics(Task.MULTI_LABEL, ["a", "b", "c", "d"], {"validation": scores}).splits["validation"]
    with_interval = {name: estimate for name, estimate in found.metrics.items() if estimate.low is not None}
    assert {"exact_match", "hamming_loss", "f1_macro", "mean_average_precision", "cross_entropy"} <= set(with_interval)
    assert all(estimate.low < estimate.value < estimate.high for estimate in with_interval.values())


def test_large_splits_draw_fewer_resamples_and_huge_ones_no_rank_interval():
    assert image_resamples(1_000, 1000) == 1000
    assert image_resamples(100_000, 1000) == 200
    assert rank_resamples(1_000, 10, 1000) == 1000
    assert rank_resamples(100_000, 10, 1000) == 100
    assert rank_resamples(100_000, 1000, 1000) == 0
