"""Probabilities, energies and decisions against independent references."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bundle.decide import decide, energy, is_unknown, probabilities_from_logits
from bundle.manifest import Manifest, Task

special = pytest.importorskip("scipy.special", reason="scipy comes with the train extra")

SINGLE, MULTI = Task.SINGLE_LABEL, Task.MULTI_LABEL
LOGITS = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 5), st.integers(1, 9)), elements=st.floats(-1e4, 1e4, width=32)
)


@settings(deadline=None)
@given(LOGITS, st.floats(0.05, 20))
def test_probabilities_equal_scipys_softmax_and_expit(logits, temperature: float):
    scaled = logits.astype(np.float64) / temperature
    single = probabilities_from_logits(logits, SINGLE, temperature)
    multi = probabilities_from_logits(logits, MULTI, temperature)
    assert single.dtype == multi.dtype == np.float32
    np.testing.assert_allclose(single, special.softmax(scaled, axis=1), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(multi, special.expit(scaled), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(single.sum(axis=1), 1, rtol=1e-5)


@settings(deadline=None)
@given(LOGITS)
def test_energies_equal_scipys_logsumexp_and_sum_of_softplus(logits):
    wide = logits.astype(np.float64)
    np.testing.assert_allclose(energy(logits, SINGLE), special.logsumexp(wide, axis=1), rtol=1e-6, atol=1e-6)
    softplus = -special.log_expit(-wide)
    np.testing.assert_allclose(energy(logits, MULTI), softplus.sum(axis=1), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("task", [SINGLE, MULTI])
def test_extreme_logits_stay_finite(task: Task):
    logits = np.array([[3e38, 3e38, -3e38], [-3e38, -3e38, -3e38], [1000, 999, -1000]], np.float32)
    probabilities = probabilities_from_logits(logits, task)
    assert np.isfinite(probabilities).all()
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    assert np.isfinite(energy(logits, task)).all()


def test_a_higher_temperature_flattens_and_keeps_the_order():
    logits = np.array([[3.0, 1.0, 0.0]])
    sharp, flat = probabilities_from_logits(logits, SINGLE, 0.5)[0], probabilities_from_logits(logits, SINGLE, 4.0)[0]
    assert sharp[0] > flat[0] > flat[1] > flat[2] > sharp[2]


@pytest.mark.parametrize("logits", [np.zeros(3), np.zeros((1, 1, 3)), np.zeros((2, 0))])
def test_logits_of_another_shape_are_refused(logits):
    with pytest.raises(ValueError, match=r"shape \(N, C\)"):
        probabilities_from_logits(logits, SINGLE)
    with pytest.raises(ValueError, match=r"shape \(N, C\)"):
        energy(logits, MULTI)


def test_single_label_claims_the_top_label(manifest: Manifest):
    decision = decide(manifest, np.array([0.2, 0.5, 0.3], np.float32), np.zeros(3))
    assert decision.labels == ("Buche",)
    assert [score.label for score in decision.scores] == ["Buche", "čedr", "ash"]
    assert [score.probability for score in decision.scores] == pytest.approx([0.5, 0.3, 0.2])
    assert not decision.unknown


def test_single_label_claims_nothing_when_the_top_label_stays_under_its_threshold(
    make_manifest: Callable[..., Manifest],
):
    manifest = make_manifest(thresholds=[0.0, 0.6, 0.0])
    decision = decide(manifest, np.array([0.2, 0.5, 0.3], np.float32), np.zeros(3))
    assert decision.labels == ()
    assert [score.above for score in decision.scores] == [False, True, True]
    assert not decision.unknown


def test_multi_label_claims_every_label_that_reaches_its_own_threshold(make_manifest: Callable[..., Manifest]):
    manifest = make_manifest(task="multi_label", thresholds=[0.1, 0.95, 0.5])
    decision = decide(manifest, np.array([0.2, 0.9, 0.7], np.float32), np.zeros(3))
    assert decision.labels == ("čedr", "ash")
    assert {score.label: score.threshold for score in decision.scores} == {"ash": 0.1, "Buche": 0.95, "čedr": 0.5}
    assert decide(manifest, np.zeros(3), np.zeros(3)).labels == ()


@settings(deadline=None)
@given(st.floats(0, 1, width=32))
def test_a_threshold_taken_from_a_probability_is_reached_by_it(make_manifest: Callable[..., Manifest], value: float):
    manifest = make_manifest(task="multi_label", thresholds=[float(np.float32(value)), round(value, 6), 1.0])
    decision = decide(manifest, np.array([value, np.float32(round(value, 6)), 0], np.float32), np.zeros(3))
    assert {score.label for score in decision.scores if score.above} >= {"ash", "Buche"}


def test_ties_keep_the_order_of_the_manifest(manifest: Manifest):
    decision = decide(manifest, np.full(3, 1 / 3, np.float32), np.zeros(3))
    assert [score.label for score in decision.scores] == list(manifest.labels)
    assert decision.labels == ("ash",)


@pytest.mark.parametrize(("task", "total"), [("single_label", np.log(3.0)), ("multi_label", 3 * np.log(2.0))])
def test_an_image_below_the_energy_threshold_is_unknown(
    make_manifest: Callable[..., Manifest], task: str, total: float
):
    def with_threshold(threshold: float) -> Manifest:
        unknown = {"energy_threshold": threshold, "known_rejected_fraction": 0.05}
        return make_manifest(task=task, unknown=unknown)

    scores = np.full(3, 0.5, np.float32)
    known = decide(with_threshold(total - 1e-3), scores, np.zeros(3))
    assert known.labels
    assert not known.unknown
    unknown = decide(with_threshold(total + 1e-3), scores, np.zeros(3))
    assert unknown.unknown
    assert unknown.labels == ()
    assert len(unknown.scores) == 3


def test_a_model_without_an_energy_threshold_knows_everything(manifest: Manifest):
    assert not is_unknown(manifest, np.full(3, -1e6))


@pytest.mark.parametrize("shape", [(2,), (4,), (1, 3)])
def test_scores_of_another_shape_are_refused(manifest: Manifest, shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        decide(manifest, np.zeros(shape, np.float32), np.zeros(shape))
