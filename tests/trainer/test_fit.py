"""The training loop: what it plans, when it stops, which weights it keeps, and that an interrupt changes none of it.

A little over 400 lines: the loop is one function, and its tests share the same small problems.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from bundle.manifest import Task
from trainer.backbone import load_encoder, scratch_spec
from trainer.fit import FitPlan, FitState, fit, loss_of, predict_logits
from trainer.head import Classifier, Head
from trainer.recipe import Recipe
from trainer.stage_defaults import HEAD, NETWORK
from trainer.stages import Examples, FeatureInputs, PixelInputs, pack_state, plan_stage, run_stage, unpack_state
from trainer.statistics.calibration import fit_temperature

CLASSES, WIDTH, TRAIN, VALIDATION = 3, 8, 96, 40
PLAN = FitPlan(
    stage=HEAD, exclusive=True, epochs=6, patience=100, batch_size=24, learning_rate=1e-2, weight_decay=1e-2,
    budget_s=1e9, seed=5,
)  # fmt: skip
STEPS_AN_EPOCH = TRAIN // PLAN.batch_size

Clouds = tuple[NDArray[np.float32], NDArray[np.bool_]]


def clouds(spread: float = 1.0, noise: float = 0.0, seed: int = 0) -> Clouds:
    """Features (N,8) in one cloud a class, and labels (N,3), of which a share `noise` is drawn at random."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, TRAIN + VALIDATION)
    centres = random.normal(0, 1, (CLASSES, WIDTH))
    features = centres[labels] + random.normal(0, spread, (len(labels), WIDTH))
    wrong = random.random(len(labels)) < noise
    labels[wrong] = random.integers(0, CLASSES, int(wrong.sum()))
    return features.astype(np.float32), np.eye(CLASSES, dtype=bool)[labels]


TRAIN_ROWS = np.arange(TRAIN)
VALIDATION_ROWS = np.arange(TRAIN, TRAIN + VALIDATION)


def new_head(hidden: int = 16) -> Head:
    torch.manual_seed(1)
    return Head(WIDTH, CLASSES, hidden)


class Recorder:
    """Collects the rows of a training's history."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def __call__(self, row: dict[str, Any], _state: FitState) -> None:
        self.rows.append(row)


def run(plan: FitPlan = PLAN, data: Clouds | None = None, inputs: Any = None, **options: Any) -> FitState:
    features, labels = data or clouds()
    rows = options.pop("validation_rows", VALIDATION_ROWS)
    inputs = inputs or FeatureInputs(features)
    return fit(options.pop("model", None) or new_head(), inputs, labels, TRAIN_ROWS, rows, plan, **options)


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


class SlowInputs(FeatureInputs):
    """Every training batch takes `step_s` seconds of a clock that nobody has to wait for."""

    def __init__(self, features: NDArray[np.float32], step_s: Callable[[int], float]) -> None:
        super().__init__(features)
        self.step_s = step_s
        self.now_s = 1000.0
        self.steps = 0

    def training(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        self.now_s += self.step_s(self.steps)
        self.steps += 1
        return super().training(rows, generator)

    def clock(self) -> float:
        return self.now_s


def run_slowly(plan: FitPlan, step_s: Callable[[int], float]) -> tuple[FitState, list[dict[str, Any]]]:
    features, labels = clouds()
    inputs, history = SlowInputs(features, step_s), Recorder()
    state = run(plan, (features, labels), inputs, clock=inputs.clock, on_epoch=history)
    return state, history.rows


# The budget


def test_a_plan_that_fits_into_its_budget_is_carried_out() -> None:
    state, rows = run_slowly(replace(PLAN, budget_s=6 * STEPS_AN_EPOCH * 1.0), lambda _step: 1.0)
    assert state.epoch == 6
    assert {row["planned_epochs"] for row in rows} == {6}


def test_a_plan_that_would_overrun_is_shortened_and_ends_within_the_budget() -> None:
    state, rows = run_slowly(replace(PLAN, epochs=40, budget_s=30.0), lambda _step: 1.0)
    assert [row["planned_epochs"] for row in rows] == [7] * 7  # 4 s an epoch
    assert state.finished
    assert state.elapsed_s == 28.0
    assert rows[-1]["learning_rate"] < 0.1 * max(row["learning_rate"] for row in rows)  # it was let down to the end


def test_a_training_that_becomes_slower_is_shortened_again() -> None:
    state, rows = run_slowly(replace(PLAN, epochs=40, budget_s=60.0), lambda step: 1.0 if step < 20 else 4.0)
    planned = [row["planned_epochs"] for row in rows]
    assert planned[0] == 15
    assert planned == sorted(planned, reverse=True)
    assert state.epoch == planned[-1] == 7  # five epochs of 4 s, then two of 16 s
    assert state.elapsed_s <= 60.0


def test_a_budget_shorter_than_one_epoch_trains_one_epoch() -> None:
    state, _ = run_slowly(replace(PLAN, budget_s=0.5), lambda _step: 1.0)
    assert (state.epoch, state.planned_epochs, state.finished) == (1, 1, True)
    assert state.best


def test_time_before_an_interruption_counts() -> None:
    features, labels = clouds()
    plan = replace(PLAN, epochs=40, budget_s=30.0)
    inputs = SlowInputs(features, lambda _step: 1.0)

    def interrupt(step: int, _total: int) -> None:
        if step == 2 * STEPS_AN_EPOCH + 1:
            raise KeyboardInterrupt

    before = run(plan, (features, labels), inputs, clock=inputs.clock, on_step=interrupt)
    inputs.now_s += 1e6  # the night between
    after = run(plan, (features, labels), inputs, clock=inputs.clock, state=before)
    assert before.elapsed_s == 8.0
    assert (after.epoch, after.elapsed_s) == (7, 28.0)


# What is kept


def test_the_best_epoch_is_the_one_with_the_lowest_validation_cross_entropy_and_its_weights_are_kept() -> None:
    data, history = clouds(spread=1.5, noise=0.4), Recorder()
    state = run(replace(PLAN, epochs=30, learning_rate=5e-2), data, on_epoch=history)
    losses = [row["validation_loss"] for row in history.rows]
    assert state.best_epoch == 1 + int(np.argmin(losses))
    assert state.best_loss == min(losses)
    assert losses[-1] > min(losses)
    assert [row["epoch"] for row in history.rows if row["best"]][-1] == state.best_epoch
    assert not same(state.best, state.average)
    for weights, expected in ((state.best, min(losses)), (state.average, losses[-1])):
        head = new_head()
        head.load_state_dict(weights)
        logits = predict_logits(head, FeatureInputs(data[0]), VALIDATION_ROWS)
        truth = data[1][VALIDATION_ROWS]
        temperature = fit_temperature(logits, truth, Task.SINGLE_LABEL).temperature
        loss = loss_of(torch.tensor(logits) / temperature, torch.tensor(truth, dtype=torch.float32), True)
        assert float(loss) == pytest.approx(expected, abs=1e-5)


def test_training_stops_when_nothing_has_improved_for_as_long_as_the_patience() -> None:
    plan = replace(PLAN, epochs=200, patience=4, learning_rate=5e-2)
    state = run(plan, clouds(spread=1.5, noise=0.4))
    assert state.finished
    assert state.epoch == state.best_epoch + 4 < 200


def test_without_validation_images_the_training_loss_decides() -> None:
    history = Recorder()
    state = run(validation_rows=np.zeros(0, np.int64), on_epoch=history)
    assert all(row["validation_loss"] is None for row in history.rows)
    assert state.best_loss == min(row["train_loss"] for row in history.rows)


def test_one_validation_image_is_enough() -> None:
    state = run(validation_rows=VALIDATION_ROWS[:1])
    assert state.finished
    assert np.isfinite(state.best_loss)


def test_a_training_that_diverges_ends_by_its_patience_and_keeps_no_best() -> None:
    data = clouds()
    data[0][3] = np.nan
    state = run(replace(PLAN, epochs=50, patience=3), data)
    assert (state.epoch, state.best_epoch, state.best) == (3, 0, {})
    assert state.average


# The same seed, the same weights


def test_the_same_seed_gives_the_same_weights_whatever_was_drawn_before() -> None:
    first = run()
    torch.rand(100)
    second = run()
    assert same(first.best, second.best)
    assert same(first.average, second.average)
    assert not same(first.average, run(replace(PLAN, seed=6)).average)


def test_the_images_are_seen_once_an_epoch_in_batches_of_nearly_one_size() -> None:
    seen: list[Tensor] = []

    class Watched(FeatureInputs):
        def training(self, rows: Tensor, generator: torch.Generator) -> Tensor:
            seen.append(rows)
            return super().training(rows, generator)

    features, labels = clouds()
    run(replace(PLAN, epochs=2, batch_size=19), (features, labels), Watched(features))
    assert [len(rows) for rows in seen] == [20, 19, 19, 19, 19] * 2
    first, second = torch.cat(seen[:5]), torch.cat(seen[5:])
    assert torch.equal(first.sort().values, torch.arange(TRAIN))
    assert not torch.equal(first, second)


class Interrupted(FeatureInputs):
    """Ctrl-C at the n-th time that anything is asked of it, in training or evaluation."""

    def __init__(self, features: NDArray[np.float32], at: int) -> None:
        super().__init__(features)
        self.left = at

    def evaluation(self, rows: Tensor) -> Tensor:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return super().evaluation(rows)


CALLS_AN_EPOCH = STEPS_AN_EPOCH + 2  # batches, then validation and a sample of the training images


def test_a_resume_ends_with_the_weights_of_an_uninterrupted_training_wherever_it_was_interrupted() -> None:
    data = clouds(spread=1.5, noise=0.3)
    whole = run(data=data)
    for at in range(CALLS_AN_EPOCH + 1, PLAN.epochs * CALLS_AN_EPOCH + 1):
        cut = run(data=data, inputs=Interrupted(data[0], at))
        assert cut.epoch == (at - 1) // CALLS_AN_EPOCH
        assert cut.step == cut.epoch * STEPS_AN_EPOCH
        assert not cut.finished
        resumed = run(data=data, state=unpack_state(*pack_state(cut)))
        assert (resumed.epoch, resumed.step) == (whole.epoch, whole.step)
        assert (resumed.best_epoch, resumed.best_loss) == (whole.best_epoch, whole.best_loss)
        assert same(resumed.best, whole.best), f"interrupted at {at}"
        assert same(resumed.average, whole.average), f"interrupted at {at}"


def test_an_interrupt_before_the_first_epoch_is_over_is_passed_on() -> None:
    for at in range(1, CALLS_AN_EPOCH + 1):
        with pytest.raises(KeyboardInterrupt):
            run(inputs=Interrupted(clouds()[0], at))


def test_an_interrupt_while_an_epoch_is_recorded_keeps_that_epoch() -> None:
    def interrupt(row: dict[str, Any], _state: FitState) -> None:
        if row["epoch"] == 3:
            raise KeyboardInterrupt

    cut = run(on_epoch=interrupt)
    assert cut.epoch == 3
    assert same(run(state=cut).average, run().average)


def test_a_network_goes_on_after_an_interrupt_as_if_nothing_had_happened() -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (24, 16, 16, 3), dtype=np.uint8)
    labels = np.eye(2, dtype=bool)[np.arange(24) % 2]
    examples = Examples(Task.SINGLE_LABEL, labels, np.arange(16), np.arange(16, 24))
    plan = plan_stage(NETWORK, Recipe(images="", epochs=3, batch_size=8), examples, 1e9)

    def train_network(state: FitState | None, stop_at: int) -> FitState:
        encoder = load_encoder(scratch_spec(16, 16), seed=1)
        torch.manual_seed(1)
        network = Classifier(encoder, Head(512, 2, 4))

        def on_step(step: int, _total: int) -> None:
            if step == stop_at:
                raise KeyboardInterrupt

        return run_stage(
            network, PixelInputs(images, "light"), examples, plan,
            state=state or FitState(planned_epochs=3), on_step=on_step, on_epoch=lambda _row, _state: None,
        )  # fmt: skip

    whole = train_network(None, -1)
    cut = train_network(None, 3)
    assert cut.epoch == 1
    resumed = train_network(unpack_state(*pack_state(cut)), -1)
    assert same(resumed.weights, whole.weights)
    assert same(resumed.best, whole.best)


# The loss


def examples_of(counts: list[int], task: Task = Task.SINGLE_LABEL) -> Examples:
    labels = np.repeat(np.arange(len(counts)), counts)
    return Examples(task, np.eye(len(counts), dtype=bool)[labels], np.arange(len(labels)), np.zeros(0, np.int64))


def test_class_weights_are_inverse_to_the_number_of_training_images() -> None:
    recipe = Recipe(images="", class_weighting=True)
    weights = plan_stage(HEAD, recipe, examples_of([10, 30, 60]), 1.0).label_weights
    assert weights is not None
    assert weights.tolist() == pytest.approx([100 / 30, 100 / 90, 100 / 180])
    assert plan_stage(HEAD, Recipe(images=""), examples_of([10, 30]), 1.0).label_weights is None
    multi = plan_stage(HEAD, recipe, examples_of([2, 8, 90], Task.MULTI_LABEL), 1.0).label_weights
    assert multi is not None
    assert multi.tolist() == pytest.approx([20, 11.5, 1])  # absent : present, between 1 and 20


def test_a_label_without_a_training_image_has_a_finite_weight() -> None:
    weights = plan_stage(HEAD, Recipe(images="", class_weighting=True), examples_of([10, 0]), 1.0).label_weights
    assert weights is not None
    assert torch.isfinite(weights).all()


def test_class_weighting_finds_more_of_a_rare_class() -> None:
    random = np.random.default_rng(0)
    labels = np.r_[np.zeros(88, int), np.ones(8, int), np.zeros(20, int), np.ones(20, int)]
    features = (labels[:, None] * 0.8 + random.normal(0, 1, (len(labels), WIDTH))).astype(np.float32)
    matrix = np.eye(2, dtype=bool)[labels]
    found = {}
    for weighting in (False, True):
        examples = Examples(Task.SINGLE_LABEL, matrix, TRAIN_ROWS, VALIDATION_ROWS)
        recipe = Recipe(images="", class_weighting=weighting, epochs=15, learning_rate=2e-2)
        plan = plan_stage(HEAD, recipe, examples, 1e9)
        torch.manual_seed(0)
        head = Head(WIDTH, 2, 8)
        state = fit(head, FeatureInputs(features), matrix, TRAIN_ROWS, VALIDATION_ROWS, plan)
        head.load_state_dict(state.average)
        answers = predict_logits(head, FeatureInputs(features), VALIDATION_ROWS).argmax(1)
        found[weighting] = int(answers[20:].sum())
    assert found[True] > found[False]


def test_losses_are_cross_entropies_as_the_field_defines_them() -> None:
    logits = torch.tensor([[2.0, -1.0], [0.5, 0.5]])
    one = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    many = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    single = -(torch.log(torch.tensor(np.e**2 / (np.e**2 + np.e**-1))) + torch.log(torch.tensor(0.5))) / 2
    assert float(loss_of(logits, one, True)) == pytest.approx(float(single), abs=1e-6)
    sigmoid = torch.sigmoid(logits)
    binary = -(many * sigmoid.log() + (1 - many) * (1 - sigmoid).log())
    assert float(loss_of(logits, many, False)) == pytest.approx(float(binary.mean()), abs=1e-6)
    weighted = (binary * torch.where(many > 0, torch.tensor([3.0, 5.0]), 1.0)).mean()
    assert float(loss_of(logits, many, False, torch.tensor([3.0, 5.0]))) == pytest.approx(float(weighted), abs=1e-6)


def test_several_labels_an_image_are_learnt() -> None:
    random = np.random.default_rng(0)
    matrix = random.random((TRAIN + VALIDATION, CLASSES)) < 0.4
    features = np.repeat(matrix, 3, axis=1) + random.normal(0, 0.3, (len(matrix), 9))
    head = Head(9, CLASSES, 0)
    plan = replace(PLAN, exclusive=False, epochs=20, learning_rate=5e-2)
    inputs = FeatureInputs(features.astype(np.float32))
    head.load_state_dict(fit(head, inputs, matrix, TRAIN_ROWS, VALIDATION_ROWS, plan).best)
    right = (predict_logits(head, inputs, VALIDATION_ROWS) > 0) == matrix[VALIDATION_ROWS]
    assert right.mean() > 0.95


# The head


def test_a_feature_that_hardly_varies_in_training_does_not_magnify_rounding() -> None:
    random = np.random.default_rng(0)
    features = random.normal(5, 1, (64, 2)).astype(np.float32)
    features[:, 1] = 3.1415927
    head = Head(2, CLASSES, 0)
    head.standardise(features, np.arange(64))
    with torch.no_grad():
        head.output.weight.fill_(1.0)
        here = head.eval()(torch.tensor(features[:1]))
        there = head(torch.tensor(features[:1]) * (1 + 2**-22))  # what another graph or batch size may answer
    assert float((here - there).abs().max()) < 1e-3


def test_an_untrained_head_answers_the_base_rates() -> None:
    labels = np.eye(2, dtype=bool)[np.r_[np.zeros(30, int), np.ones(10, int)]]
    head = Head(WIDTH, 2, 4).eval()
    head.start_from_priors(labels, exclusive=True)
    assert head(torch.zeros(1, WIDTH)).softmax(1)[0].tolist() == pytest.approx([0.75, 0.25], abs=0.01)
    head.start_from_priors(labels, exclusive=False)
    assert head(torch.zeros(1, WIDTH)).sigmoid()[0].tolist() == pytest.approx([0.75, 0.25], abs=0.01)


def test_one_slow_epoch_shortens_the_plan_only_until_the_next() -> None:
    state, rows = run_slowly(replace(PLAN, epochs=10, budget_s=60.0), lambda step: 10.0 if step < 4 else 1.0)
    assert rows[0]["planned_epochs"] < 10
    assert state.epoch == rows[-1]["planned_epochs"] > rows[0]["planned_epochs"]
