from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, softmax

from bundle.manifest import Task
from trainer.statistics.calibration import TEMPERATURE_BOUNDS, fit_temperature, reliability
from trainer.statistics.scores import image_losses


def honest(task: Task, images: int, seed: int = 0):
    """Logits whose probabilities are true: the truth is drawn from them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(images, 4)) * 2
    if task is Task.SINGLE_LABEL:
        drawn = (softmax(logits, axis=1).cumsum(axis=1) > rng.random((images, 1))).argmax(axis=1)
        return logits.astype(np.float32), np.eye(4, dtype=bool)[drawn]
    return logits.astype(np.float32), rng.random(logits.shape) < expit(logits)


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_a_known_overconfidence_is_found_again(task, factor):
    logits, truth = honest(task, 20_000)
    fit = fit_temperature(logits * np.float32(factor), truth, task)
    assert fit.temperature == pytest.approx(factor, rel=0.05)
    assert fit.note is None


@pytest.mark.parametrize("task", list(Task))
def test_no_temperature_on_a_fine_grid_has_a_lower_cross_entropy(task):
    logits, truth = honest(task, 400, seed=5)
    logits = logits * 2
    best = image_losses(logits, truth, task, fit_temperature(logits, truth, task).temperature).mean()
    grid = np.geomspace(*TEMPERATURE_BOUNDS, 400)
    assert best <= min(image_losses(logits, truth, task, t).mean() for t in grid) + 1e-7


def test_a_model_without_mistakes_keeps_temperature_one_and_says_so():
    logits = np.array([[2, 0], [0, 1]], dtype=np.float32)
    fit = fit_temperature(logits, np.eye(2, dtype=bool), Task.SINGLE_LABEL)
    assert fit.temperature == 1.0
    assert "no mistake" in str(fit.note)


def test_logits_that_say_nothing_end_at_the_bound_and_say_so():
    logits = np.array([[3, 0], [3, 0], [0, 3], [0, 3]], dtype=np.float32)
    truth = np.array([[0, 1], [0, 1], [1, 0], [0, 1]], dtype=bool)
    fit = fit_temperature(logits, truth, Task.SINGLE_LABEL)
    assert fit.temperature == pytest.approx(TEMPERATURE_BOUNDS[1], rel=0.01)
    assert "bound" in str(fit.note)


def test_reliability_worked_by_hand_for_single_label():
    # top labels: 0.9 right, 0.9 wrong, 0.7 right -> bins (13/15, 14/15] and (10/15, 11/15]
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7]], dtype=np.float32)
    truth = np.array([[1, 0], [0, 1], [0, 1]], dtype=bool)
    binned = reliability(probabilities, truth, Task.SINGLE_LABEL)
    assert binned.count[13] == 2
    assert binned.accuracy[13] == pytest.approx(0.5)
    assert binned.count[10] == 1
    assert binned.count.sum() == 3
    assert binned.expected_calibration_error == pytest.approx((2 * 0.4 + 1 * 0.3) / 3, abs=1e-6)


def test_reliability_worked_by_hand_for_multi_label():
    probabilities = np.array([[0.0, 1.0], [0.5, 0.25]], dtype=np.float32)
    truth = np.array([[0, 1], [0, 1]], dtype=bool)
    binned = reliability(probabilities, truth, Task.MULTI_LABEL, bins=4)
    assert binned.count.tolist() == [2, 1, 0, 1]  # 0 and 0.25 in [0, 0.25]; 0.5 in (0.25, 0.5]; 1 in (0.75, 1]
    assert binned.accuracy[0] == pytest.approx(0.5)
    assert np.isnan(binned.accuracy[2])
    assert binned.expected_calibration_error == pytest.approx((2 * abs(0.5 - 0.125) + 0.5) / 4)


def test_a_hopeless_answer_costs_its_whole_logit_and_not_infinity():
    loss = image_losses(np.array([[200, 0]], dtype=np.float32), np.array([[0, 1]], dtype=bool), Task.SINGLE_LABEL)
    assert loss.tolist() == pytest.approx([200.0])
    loss = image_losses(np.array([[200, 0]], dtype=np.float32), np.array([[0, 1]], dtype=bool), Task.MULTI_LABEL)
    assert loss.tolist() == pytest.approx([(200 + np.log(2)) / 2])
