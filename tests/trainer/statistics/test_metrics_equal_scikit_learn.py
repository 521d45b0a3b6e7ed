"""Every metric of the document against scikit-learn, computed here from scratch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax
from sklearn import metrics as sk

from bundle.manifest import Task
from trainer.statistics import Statistics, compute_statistics
from trainer.statistics import metrics as ours

LABELS = ["ace", "jack", "king", "nine", "queen"]


@pytest.fixture(params=list(Task), ids=lambda task: task.value)
def measured(request, make_scores):
    task = request.param
    splits = {
        "train": make_scores(task, 300, len(LABELS), seed=1),
        "validation": make_scores(task, 120, len(LABELS), seed=2),
        "test": make_scores(task, 150, len(LABELS), seed=3),
    }
    return task, splits, compute_statistics(task, LABELS, splits, resamples=50)


def answers(task: Task, scores, statistics: Statistics):
    """Probabilities in float64 and decisions, independently of the package."""
    scaled = scores.logits.astype(np.float64) / statistics.calibration.temperature
    if task is Task.SINGLE_LABEL:
        probabilities = softmax(scaled, axis=1)
        return probabilities, np.eye(len(LABELS), dtype=bool)[probabilities.argmax(axis=1)]
    probabilities = expit(scaled)
    return probabilities, probabilities >= np.array(statistics.thresholds.values)


def test_averages_and_classes_equal_scikit_learn(measured):
    task, splits, statistics = measured
    for name, scores in splits.items():
        found = statistics.splits[name]
        _, decided = answers(task, scores, statistics)
        for averaging in ("micro", "macro", "weighted"):
            wanted = sk.precision_recall_fscore_support(scores.truth, decided, average=averaging, zero_division=0)[:3]
            average = found.averages[averaging]
            assert (average.precision, average.recall, average.f1) == pytest.approx(wanted)
        wanted_each = np.array(sk.precision_recall_fscore_support(scores.truth, decided, zero_division=0)).T
        ours_each = [(each.precision, each.recall, each.f1, each.images) for each in found.classes]
        assert np.allclose(ours_each, wanted_each)
        for place, each in enumerate(found.classes):
            assert each.mcc == pytest.approx(sk.matthews_corrcoef(scores.truth[:, place], decided[:, place]))
            assert each.accuracy == pytest.approx(sk.accuracy_score(scores.truth[:, place], decided[:, place]))


def test_average_precision_equals_scikit_learn(measured):
    task, splits, statistics = measured
    for name, scores in splits.items():
        found = statistics.splits[name]
        probabilities, _ = answers(task, scores, statistics)
        each = sk.average_precision_score(scores.truth, probabilities, average=None)
        assert [curve.average_precision for curve in found.curves] == pytest.approx(list(each))
        assert found.metrics["mean_average_precision"].value == pytest.approx(each.mean())
        micro = sk.average_precision_score(scores.truth, probabilities, average="micro")
        assert found.pooled_curve.average_precision == pytest.approx(micro)


def test_cross_entropy_equals_scikit_learn(measured):
    task, splits, statistics = measured
    for name, scores in splits.items():
        probabilities, _ = answers(task, scores, statistics)
        if task is Task.SINGLE_LABEL:
            wanted = sk.log_loss(scores.truth.argmax(axis=1), probabilities, labels=range(len(LABELS)))
        else:
            columns = zip(scores.truth.T, probabilities.T, strict=True)
            wanted = np.mean([sk.log_loss(truth, said, labels=[False, True]) for truth, said in columns])
        assert statistics.splits[name].metrics["cross_entropy"].value == pytest.approx(wanted, rel=1e-6)


def test_headline_figures_of_a_single_label_task_equal_scikit_learn(make_scores):
    scores = make_scores(Task.SINGLE_LABEL, 200, 5)
    found = compute_statistics(Task.SINGLE_LABEL, LABELS, {"test": scores}, resamples=20).splits["test"]
    truth, decided = scores.truth.argmax(axis=1), scores.logits.argmax(axis=1)
    assert found.metrics["accuracy"].value == pytest.approx(sk.accuracy_score(truth, decided))
    assert found.metrics["mcc"].value == pytest.approx(sk.matthews_corrcoef(truth, decided))
    assert found.metrics["recall_macro"].value == pytest.approx(sk.balanced_accuracy_score(truth, decided))
    assert (found.confusion.dense() == sk.confusion_matrix(truth, decided)).all()


def test_headline_figures_of_a_multi_label_task_equal_scikit_learn(make_scores):
    scores = make_scores(Task.MULTI_LABEL, 200, 5)
    statistics = compute_statistics(Task.MULTI_LABEL, LABELS, {"validation": scores}, resamples=20)
    found = statistics.splits["validation"].metrics
    _, decided = answers(Task.MULTI_LABEL, scores, statistics)
    assert found["exact_match"].value == pytest.approx(sk.accuracy_score(scores.truth, decided))
    assert found["hamming_loss"].value == pytest.approx(sk.hamming_loss(scores.truth, decided))
    assert found["accuracy"].value == pytest.approx(1 - sk.hamming_loss(scores.truth, decided))
    assert statistics.splits["validation"].confusion is None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_counts_of_any_confusion_give_scikit_learn_values(pairs):
    truth, decided = (np.array(side) for side in zip(*pairs, strict=True))
    counts = ours.counts_from_confusion(ours.confusion_matrix(truth, decided, 4))
    if len({*truth, *decided}) > 1:  # scikit-learn warns where there is but one class; it says 0 then
        assert float(ours.multiclass_matthews(counts)) == pytest.approx(sk.matthews_corrcoef(truth, decided))
    for averaging in ours.AVERAGINGS:
        found = ours.averaged(counts, averaging)
        wanted = sk.precision_recall_fscore_support(truth, decided, labels=range(4), average=averaging, zero_division=0)
        assert (found.precision, found.recall, found.f1) == pytest.approx(wanted[:3])
