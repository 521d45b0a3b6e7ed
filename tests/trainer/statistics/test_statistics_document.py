from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from bundle.decide import energy
from bundle.manifest import Task
from trainer.statistics import (
    InvalidScores,
    SplitScores,
    Statistics,
    compute_statistics,
    models_from_json,
    models_to_json,
)

LABELS = ["a", "b", "c"]


def empty() -> SplitScores:
    return SplitScores(np.empty((0, 3), dtype=np.float32), np.empty((0, 3), dtype=np.bool_), [])


def codes(statistics: Statistics) -> set[str]:
    return {note.code for note in statistics.notes}


@pytest.mark.parametrize("task", list(Task))
def test_the_json_is_finite_rounded_and_reads_back(task, make_scores):
    splits = {"train": make_scores(task, 40, 3), "validation": make_scores(task, 20, 3, seed=1)}
    statistics = compute_statistics(task, LABELS, splits, resamples=20)
    text = statistics.to_json()
    document = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} in the document"))
    assert document["schema_version"] == 1
    assert list(document["splits"]) == ["train", "validation"]
    again = Statistics.from_json(text)
    assert again.to_json() == text
    assert again.thresholds == statistics.thresholds
    assert again.calibration.temperature == statistics.calibration.temperature
    assert models_from_json(models_to_json({"best": statistics}))["best"] == again


def test_the_same_seed_gives_the_same_document_and_another_seed_other_intervals(make_scores):
    splits = {"train": make_scores(Task.SINGLE_LABEL, 60, 3)}
    first, same, other = (
        compute_statistics(Task.SINGLE_LABEL, LABELS, splits, seed=seed, resamples=30) for seed in (1, 1, 2)
    )
    assert first.to_json() == same.to_json()
    assert first.to_json() != other.to_json()


def test_a_split_s_figures_do_not_depend_on_the_other_splits(make_scores):
    validation, test = make_scores(Task.SINGLE_LABEL, 60, 3), make_scores(Task.SINGLE_LABEL, 60, 3, seed=4)
    with_test = compute_statistics(Task.SINGLE_LABEL, LABELS, {"validation": validation, "test": test}, resamples=30)
    without = compute_statistics(Task.SINGLE_LABEL, LABELS, {"validation": validation}, resamples=30)
    assert with_test.splits["validation"] == without.splits["validation"]


@pytest.mark.parametrize("task", list(Task))
def test_without_validation_everything_is_chosen_on_train_and_said(task, make_scores):
    splits = {"train": make_scores(task, 80, 3), "validation": empty(), "test": make_scores(task, 30, 3, seed=1)}
    statistics = compute_statistics(task, LABELS, splits, resamples=10)
    assert list(statistics.splits) == ["train", "test"]
    assert statistics.calibration.fitted_on == "train"
    assert {"NO_VALIDATION_IMAGES", "CALIBRATED_ON_TRAIN"} <= codes(statistics)
    assert ("THRESHOLDS_FALLBACK" in codes(statistics)) is (task is Task.MULTI_LABEL)


def test_test_images_alone_are_measured_without_choosing_anything_on_them(make_scores):
    statistics = compute_statistics(Task.MULTI_LABEL, LABELS, {"test": make_scores(Task.MULTI_LABEL, 30, 3)})
    assert statistics.calibration.temperature == 1.0
    assert statistics.thresholds.values == (0.5, 0.5, 0.5)
    assert "NOT_CALIBRATED" in codes(statistics)


def test_a_label_without_validation_images_keeps_one_half_and_has_no_curve(make_scores):
    scores = make_scores(Task.MULTI_LABEL, 80, 3)
    scores.truth[:, 1] = False
    statistics = compute_statistics(Task.MULTI_LABEL, LABELS, {"validation": scores}, resamples=10)
    assert statistics.thresholds.values[1] == 0.5
    assert "THRESHOLD_DEFAULT" in codes(statistics)
    split = statistics.splits["validation"]
    assert split.classes[1].average_precision is None
    assert [curve.label for curve in split.curves] == ["a", "c"]


def test_a_split_without_any_label_is_measured_without_average_precision(make_scores):
    scores = make_scores(Task.MULTI_LABEL, 10, 3)
    scores.truth[:] = False
    split = compute_statistics(Task.MULTI_LABEL, LABELS, {"test": scores}, resamples=10).splits["test"]
    assert "mean_average_precision" not in split.metrics
    assert split.pooled_curve is None


def test_one_image_and_one_label_are_enough():
    scores = SplitScores(np.array([[1.5]], dtype=np.float32), np.array([[True]]), ["x.jpg"])
    for task in Task:
        statistics = compute_statistics(task, ["only"], {"train": scores}, resamples=10)
        assert statistics.splits["train"].metrics["accuracy"].value == 1.0


def test_the_energy_threshold_rejects_about_one_in_a_hundred_known_images(make_scores):
    validation = make_scores(Task.SINGLE_LABEL, 1000, 3)
    statistics = compute_statistics(Task.SINGLE_LABEL, LABELS, {"validation": validation}, resamples=5)
    threshold = np.float32(statistics.unknown.energy_threshold)
    rejected = float(np.mean(energy(validation.logits, Task.SINGLE_LABEL) < threshold))
    assert statistics.unknown.known_rejected_fraction == rejected == pytest.approx(0.01, abs=0.001)
    assert statistics.splits["validation"].known_rejected_fraction == rejected


def test_the_worst_predictions_come_worst_first_with_truth_and_answer():
    logits = np.zeros((30, 3), dtype=np.float32)
    logits[:, 0] = np.arange(30) / 5  # ever surer of a
    truth = np.zeros((30, 3), dtype=np.bool_)
    truth[:, 1] = True  # and always b
    scores = SplitScores(logits, truth, [f"{row}.jpg" for row in range(30)])
    worst = compute_statistics(Task.SINGLE_LABEL, LABELS, {"test": scores}, resamples=5).splits["test"].worst
    assert [each.image_id for each in worst] == [f"{row}.jpg" for row in range(29, 5, -1)]
    assert worst[0].truth[0].label == "b"
    assert worst[0].decided[0].label == worst[0].top[0].label == "a"
    assert not worst[0].correct
    assert worst[0].top[0].probability == pytest.approx(np.exp(5.8) / (np.exp(5.8) + 2), abs=1e-5)


def test_calibration_lowers_the_error_of_an_overconfident_model(make_scores):
    scores = make_scores(Task.SINGLE_LABEL, 2000, 3)
    loud = replace(scores, logits=scores.logits * 6)
    statistics = compute_statistics(Task.SINGLE_LABEL, LABELS, {"validation": loud}, resamples=5)
    assert statistics.calibration.temperature > 2
    assert statistics.calibration.ece_after < statistics.calibration.ece_before / 2


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda s: {"exam": s}, "exam"),
        (lambda s: {"test": replace(s, image_ids=s.image_ids[1:])}, "shape"),
        (lambda s: {"test": replace(s, truth=s.truth[:, :2])}, "shape"),
        (lambda s: {"test": replace(s, truth=s.truth.astype(np.int64))}, "bool"),
        (lambda s: {"test": replace(s, truth=np.ones_like(s.truth))}, "exactly one"),
        (lambda s: {"test": replace(s, logits=s.logits * np.float32("nan"))}, "learning rate"),
        (lambda s: {"test": empty()}, "at least one"),
        (lambda s: {}, "at least one"),
    ],
)
def test_scores_that_do_not_fit_are_refused_with_a_reason(change, word, make_scores):
    with pytest.raises(InvalidScores, match=word):
        compute_statistics(Task.SINGLE_LABEL, LABELS, change(make_scores(Task.SINGLE_LABEL, 12, 3)))


def test_a_label_that_stands_twice_is_refused(make_scores):
    with pytest.raises(InvalidScores, match="each once"):
        compute_statistics(Task.SINGLE_LABEL, ["a", "a", "b"], {"test": make_scores(Task.SINGLE_LABEL, 12, 3)})


@pytest.mark.slow
@pytest.mark.parametrize("task", list(Task))
def test_a_thousand_labels_work_and_stay_a_few_megabytes(task, make_scores):
    splits = {"train": make_scores(task, 1500, 1000, signal=5.0), "test": make_scores(task, 300, 1000, seed=1)}
    statistics = compute_statistics(task, [f"label {place}" for place in range(1000)], splits, resamples=20)
    assert len(statistics.to_json()) < 8_000_000
    assert len(statistics.splits["test"].classes) == 1000
