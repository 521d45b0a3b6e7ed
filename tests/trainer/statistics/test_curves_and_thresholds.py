from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve

from bundle.manifest import Task
from trainer.statistics import compute_statistics
from trainer.statistics.curves import best_f1_threshold, curve_points, rank_curve, thin


def made(truth: list[int], scores: list[float]):
    return rank_curve(np.array(truth, dtype=bool), np.array(scores, dtype=np.float32))


def test_a_label_without_images_has_no_curve():
    assert made([0, 0], [0.1, 0.9]) is None


def test_a_curve_worked_by_hand():
    curve = made([1, 0, 1, 0], [0.9, 0.8, 0.4, 0.1])
    assert curve.recall.tolist() == pytest.approx([0.5, 0.5, 1, 1])
    assert curve.precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3, 1 / 2])
    assert curve.average_precision == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_the_threshold_lies_half_way_below_the_lowest_accepted_score():
    # accepting 0.9, 0.8, 0.4 gives precision 2/3, recall 1, F1 0.8: the best
    assert best_f1_threshold(made([1, 0, 1, 0], [0.9, 0.8, 0.4, 0.1])) == pytest.approx(0.25)


def test_a_threshold_that_accepts_everything_still_lies_below_the_lowest_score():
    assert best_f1_threshold(made([1, 1], [0.9, 0.4])) == pytest.approx(0.2)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=2, max_size=40))
def test_the_curve_equals_scikit_learn_and_no_other_threshold_has_a_better_f1(rows):
    truth = np.array([positive for positive, _ in rows])
    scores = np.array([step / 20 for _, step in rows], dtype=np.float32)
    curve = rank_curve(truth, scores)
    if curve is None:
        return
    precision, recall, threshold = precision_recall_curve(truth, scores)
    assert np.allclose(curve.precision[::-1], precision[:-1])
    assert np.allclose(curve.recall[::-1], recall[:-1])
    assert np.allclose(curve.threshold[::-1], threshold)
    chosen = f1_score(truth, scores >= best_f1_threshold(curve), zero_division=0)
    every = [f1_score(truth, scores >= np.float32(cut), zero_division=0) for cut in np.arange(0, 1.01, 0.05)]
    assert chosen >= max(every) - 1e-12
    assert curve.average_precision == pytest.approx(average_precision_score(truth, scores))


def test_thinning_keeps_ends_and_shape_within_two_hundred_points():
    rng = np.random.default_rng(0)
    truth = rng.random(20_000) < 0.4
    curve = rank_curve(truth, (rng.normal(size=20_000) + truth).astype(np.float32))
    thinned = thin(curve, 200)
    assert len(thinned.recall) <= 200
    assert thinned.recall[-1] == curve.recall[-1] == 1
    assert (np.diff(thinned.recall) >= 0).all()
    assert thinned.threshold[0] == curve.threshold[np.argmax(curve.recall > 0)]
    area = np.trapezoid(thinned.precision, thinned.recall)
    assert area == pytest.approx(curve.average_precision, abs=0.01)


def test_a_short_curve_keeps_where_recall_rises_and_where_precision_ends():
    thinned = thin(made([1, 0, 0, 1, 0], [0.9, 0.8, 0.7, 0.4, 0.1]), 200)
    assert thinned.threshold.tolist() == pytest.approx([0.9, 0.7, 0.4, 0.1])
    assert thinned.precision.tolist() == pytest.approx([1, 1 / 3, 1 / 2, 2 / 5])


def test_a_thousand_labels_store_fewer_points_each():
    assert curve_points(10) == 200
    assert curve_points(1000) == 40


def test_thresholds_come_from_the_split_that_was_asked_for(make_scores):
    train, validation = (make_scores(Task.MULTI_LABEL, 200, 3, seed=seed) for seed in (1, 2))
    splits = {"train": train, "validation": replace(validation, logits=validation.logits + np.float32(2))}
    labels = ["a", "b", "c"]
    on_validation = compute_statistics(Task.MULTI_LABEL, labels, splits, resamples=5)
    on_train = compute_statistics(Task.MULTI_LABEL, labels, splits, thresholds_from="train", resamples=5)
    assert on_validation.thresholds.chosen_from == "validation"
    assert on_train.thresholds.chosen_from == "train"
    for each in (on_validation, on_train):
        chosen = each.splits[each.thresholds.chosen_from].averages["macro"].f1
        other = on_train if each is on_validation else on_validation
        assert chosen > other.splits[each.thresholds.chosen_from].averages["macro"].f1


def test_the_stored_point_at_the_threshold_is_the_label_s_precision_and_recall(make_scores):
    scores = make_scores(Task.MULTI_LABEL, 150, 3)
    split = compute_statistics(Task.MULTI_LABEL, ["a", "b", "c"], {"validation": scores}, resamples=5).splits
    for curve, each in zip(split["validation"].curves, split["validation"].classes, strict=True):
        assert (curve.chosen_recall, curve.chosen_precision) == (each.recall, each.precision)


def test_single_label_thresholds_let_the_most_probable_label_through(make_scores):
    scores = make_scores(Task.SINGLE_LABEL, 60, 3)
    statistics = compute_statistics(Task.SINGLE_LABEL, ["a", "b", "c"], {"validation": scores}, resamples=5)
    assert statistics.thresholds.values == (0.0, 0.0, 0.0)
    assert all(0 < curve.chosen_threshold < 1 for curve in statistics.splits["validation"].curves)
