"""A run through all its stages: the same seed, interrupts at every stage, resumes, refusals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bundle.preprocess import preprocess
from trainer.errors import BackboneError, RunError
from trainer.progress import SilentReporter
from trainer.run import Run
from trainer.stage_defaults import DEFAULTS

TrainShapes = Callable[..., Any]
FILES = ("best.safetensors", "last.safetensors")
IMAGES, FEATURES = "images", "features"
HEAD, NETWORK, FINE_TUNE = "training the head", "training the network", "fine-tuning the network"


class CtrlC(SilentReporter):
    """Ctrl-C once a stage has done so many units."""

    def __init__(self, stage: str, done: int) -> None:
        self.stage = stage
        self.done = done

    def progress(self, stage: str, done: int, total: int) -> None:
        if stage == self.stage and done >= self.done:
            raise KeyboardInterrupt


class Listener(SilentReporter):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def contents(run: Run) -> list[bytes]:
    return [(run.folder / name).read_bytes() for name in FILES]


def epochs(run: Run) -> list[tuple[str, int]]:
    return [(row["stage"], row["epoch"]) for row in run.history()]


def assert_usable(run: Run) -> None:
    """Statistics, a report and a network whose scores are those that were recorded."""
    assert "<html" in run.report_path.read_text(encoding="utf-8")
    assert set(json.loads(run.statistics_path.read_text())["models"]) == {"best", "last"}
    network, snapshot, spec = run.classifier("best"), run.snapshot(), run.model().preprocessing
    images = [preprocess((Path(snapshot.root) / path).read_bytes(), spec) for path in snapshot.paths[:6]]
    with torch.no_grad():
        scores = network(torch.from_numpy(np.stack(images))).numpy()
    with np.load(run.predictions_path) as recorded:
        assert np.allclose(recorded["best_logits"][:6], scores, atol=1e-4)


# The same seed


@pytest.mark.parametrize(
    "choices",
    [
        pytest.param({}, id="head"),
        pytest.param({"backbone": None, "epochs": 1}, id="scratch"),
        pytest.param({"fine_tune": True}, id="fine-tuned", marks=pytest.mark.slow),
        pytest.param({"random_weights": True}, id="random-weights", marks=pytest.mark.slow),
    ],
)
def test_the_same_seed_gives_the_same_files_and_another_seed_others(
    train_shapes: TrainShapes, choices: dict[str, Any]
) -> None:
    choices = {"epochs": 3, **choices}
    torch.manual_seed(11)
    first = train_shapes("first", seed=3, **choices).run
    torch.manual_seed(22)
    assert contents(train_shapes("second", seed=3, **choices).run) == contents(first)
    split_alike = {"validation_list": _validation_list(first)}
    assert contents(train_shapes("third", seed=4, **split_alike, **choices).run)[1] != contents(first)[1]
    assert_usable(first)


def _validation_list(run: Run) -> str:
    """A file that names the run's validation images, so that only the weights' seed differs."""
    snapshot = run.snapshot()
    path = run.folder / "validation.txt"
    path.write_text("".join(f"{name}\n" for name, split in zip(snapshot.paths, snapshot.splits, strict=True) if split))
    return str(path)


# Ctrl-C


def test_ctrl_c_in_the_feature_pass_loses_nothing(train_shapes: TrainShapes, own_shapes: Path) -> None:
    for path in own_shapes.rglob("*.png"):  # images that no cache has seen
        path.write_bytes(path.read_bytes() + b"\0")
    images = str(own_shapes)
    with pytest.raises(KeyboardInterrupt):
        train_shapes("run", images=images, reporter=CtrlC(FEATURES, 40))
    listener = Listener()
    resumed = train_shapes("run", resume=True, reporter=listener)
    (line,) = [text for text in listener.said if text.startswith("features: ")]
    assert int(line.split()[1]) <= 72 - 40
    assert contents(resumed.run) == contents(train_shapes("whole", images=images).run)


HEAD_OR_NETWORK = pytest.mark.parametrize(
    ("choices", "stage"),
    [
        pytest.param({}, HEAD, id="head"),
        pytest.param({"backbone": None, "epochs": 3}, NETWORK, id="scratch", marks=pytest.mark.slow),
    ],
)


@HEAD_OR_NETWORK
def test_ctrl_c_in_the_first_epoch_leaves_a_run_that_can_be_resumed(
    train_shapes: TrainShapes, choices: dict[str, Any], stage: str
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_shapes("run", reporter=CtrlC(stage, 2), **choices)
    resumed = train_shapes("run", resume=True)
    assert not resumed.interrupted
    assert contents(resumed.run) == contents(train_shapes("whole", **choices).run)


@HEAD_OR_NETWORK
def test_ctrl_c_in_a_later_epoch_leaves_a_usable_run_that_can_be_resumed(
    train_shapes: TrainShapes, choices: dict[str, Any], stage: str
) -> None:
    cut = train_shapes("run", reporter=CtrlC(stage, 10), **choices)
    assert cut.interrupted
    assert cut.best_epoch in (1, 2)
    assert epochs(cut.run) == [(stage.split()[-1], 1), (stage.split()[-1], 2)]
    assert_usable(cut.run)

    resumed = train_shapes("run", resume=True)
    whole = train_shapes("whole", **choices)
    assert not resumed.interrupted
    assert contents(resumed.run) == contents(whole.run)
    assert resumed.best_epoch == whole.best_epoch
    assert epochs(resumed.run) == epochs(whole.run)
    assert_usable(resumed.run)
    with pytest.raises(RunError, match="nothing to resume"):
        train_shapes("run", resume=True)


@pytest.mark.slow
def test_ctrl_c_again_and_again_still_ends_with_the_same_weights(train_shapes: TrainShapes) -> None:
    train_shapes("run", reporter=CtrlC(HEAD, 6))
    for steps in (10, 14):
        assert train_shapes("run", resume=True, reporter=CtrlC(HEAD, steps)).interrupted
    resumed = train_shapes("run", resume=True)
    whole = train_shapes("whole")
    assert contents(resumed.run) == contents(whole.run)
    assert epochs(resumed.run) == epochs(whole.run) == [("head", n) for n in (1, 2, 3, 4)]


def test_ctrl_c_in_the_evaluation_is_made_good_by_a_resume(train_shapes: TrainShapes) -> None:
    class AtEvaluation(SilentReporter):
        def say(self, text: str) -> None:
            if text == "evaluating":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_shapes("run", reporter=AtEvaluation())
    assert contents(train_shapes("run", resume=True).run) == contents(train_shapes("whole").run)


def test_a_run_that_was_interrupted_reports_its_last_evaluation(train_shapes: TrainShapes) -> None:
    train_shapes("run", reporter=CtrlC(HEAD, 6))
    resumed = train_shapes("run", resume=True)
    first, last = resumed.run.events("evaluated")
    assert first["best_epoch"] == 1
    assert last["best_epoch"] == resumed.best_epoch == 4


# Fine-tuning


def test_fine_tuning_keeps_the_weights_of_the_encoder_and_counts_its_epochs_on(train_shapes: TrainShapes) -> None:
    outcome = train_shapes("run", fine_tune=True, epochs=3)
    assert epochs(outcome.run) == [(stage, n) for n, stage in enumerate(["head"] * 3 + ["fine_tune"] * 3, start=1)]
    assert outcome.run.model().encoder_trained
    weights = outcome.run.load_tensors(outcome.run.weights_path("last"))
    before = outcome.run.classifier("last").state_dict()
    assert weights.keys() == before.keys()
    untouched = train_shapes("head", epochs=3).run.classifier("best").state_dict()
    changed = [name for name in weights if name.startswith("encoder.") and name.endswith("weight")]
    assert any(not torch.equal(weights[name], untouched[name]) for name in changed)
    assert_usable(outcome.run)


def test_where_fine_tuning_makes_it_worse_the_head_before_it_is_the_best_model(
    train_shapes: TrainShapes, monkeypatch: pytest.MonkeyPatch
) -> None:
    destructive = replace(DEFAULTS["fine_tune"], learning_rate=30.0)
    monkeypatch.setitem(DEFAULTS, "fine_tune", destructive)
    head = train_shapes("head").run
    tuned = train_shapes("tuned", fine_tune=True)
    best = tuned.run.load_tensors(tuned.run.weights_path("best"))
    assert tuned.best_epoch == head.best_epoch()
    for name, value in head.load_tensors(head.weights_path("best")).items():
        assert torch.equal(best[f"head.{name}"], value)
    for name, value in head.classifier("best").encoder.state_dict().items():
        assert torch.equal(best[f"encoder.{name}"], value)
    assert_usable(tuned.run)


@pytest.mark.parametrize(
    "step", [pytest.param(1, id="first epoch"), pytest.param(6, id="second epoch", marks=pytest.mark.slow)]
)
def test_ctrl_c_in_fine_tuning_leaves_a_usable_run_that_can_be_resumed(train_shapes: TrainShapes, step: int) -> None:
    choices = {"fine_tune": True, "epochs": 3}
    cut = train_shapes("run", reporter=CtrlC(FINE_TUNE, step), **choices)
    assert cut.interrupted
    assert_usable(cut.run)
    resumed = train_shapes("run", resume=True)
    whole = train_shapes("whole", **choices)
    assert contents(resumed.run) == contents(whole.run)
    assert epochs(resumed.run) == epochs(whole.run)


def test_ctrl_c_before_fine_tuning_leaves_a_head_on_the_untouched_backbone(train_shapes: TrainShapes) -> None:
    choices = {"fine_tune": True, "epochs": 3}
    cut = train_shapes("run", reporter=CtrlC(HEAD, 6), **choices)
    assert cut.interrupted
    assert not cut.run.model().encoder_trained
    assert_usable(cut.run)
    assert contents(train_shapes("run", resume=True).run) == contents(train_shapes("whole", **choices).run)


def test_an_image_that_changes_before_fine_tuning_is_refused(train_shapes: TrainShapes, own_shapes: Path) -> None:
    class Vandal(SilentReporter):
        def say(self, text: str) -> None:
            if text.startswith(f"{HEAD}: 2 epochs"):
                next(own_shapes.rglob("*.png")).write_bytes(b"another")

    with pytest.raises(RunError, match="expected the image that this run was begun with"):
        train_shapes("run", images=str(own_shapes), fine_tune=True, epochs=2, reporter=Vandal())


def test_the_time_of_the_head_is_not_spent_again_by_a_resume_in_fine_tuning(train_shapes: TrainShapes) -> None:
    def budget_s(run: Run) -> float:
        return float(run.load_tensors_and_metadata(run.resume_path)[1]["budget_s"])

    run = train_shapes("run", reporter=CtrlC(FINE_TUNE, 6), fine_tune=True, epochs=3, minutes=5).run
    left_s = budget_s(run)
    head_s = [row["elapsed_s"] for row in run.history() if row["stage"] == "head"][-1]
    assert left_s == pytest.approx(300 - head_s, abs=0.002)
    train_shapes("run", resume=True, reporter=CtrlC(FINE_TUNE, 10))
    assert budget_s(run) == left_s


# Refusals


def test_a_run_is_not_overwritten_unless_told(train_shapes: TrainShapes) -> None:
    first = train_shapes("run", seed=1)
    before = contents(first.run)
    with pytest.raises(RunError, match="--overwrite"):
        train_shapes("run", seed=2)
    assert contents(first.run) == before
    again = train_shapes("run", seed=2, overwrite=True)
    assert contents(again.run) == contents(train_shapes("fresh", seed=2).run) != before
    assert epochs(again.run) == epochs(first.run)
    assert again.run.recipe().seed == 2


def test_an_overwriting_that_was_cut_off_at_once_can_be_resumed_and_holds_nothing_of_the_old_run(
    train_shapes: TrainShapes, own_shapes: Path
) -> None:
    train_shapes("run", seed=1)
    for path in own_shapes.rglob("*.png"):
        path.write_bytes(path.read_bytes() + b"\1")
    with pytest.raises(KeyboardInterrupt):
        train_shapes("run", images=str(own_shapes), overwrite=True, reporter=CtrlC(FEATURES, 30))
    resumed = train_shapes("run", resume=True)
    assert contents(resumed.run) == contents(train_shapes("whole", images=str(own_shapes)).run)
    assert resumed.run.snapshot().root == str(own_shapes)


def test_there_must_be_a_run_to_resume(train_shapes: TrainShapes, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="expected a run folder, found nothing there"):
        train_shapes("run", resume=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("change", ["another image", "no image", "deleted"])
def test_a_resume_with_changed_images_is_refused_and_names_one(
    train_shapes: TrainShapes, own_shapes: Path, change: str
) -> None:
    train_shapes("run", images=str(own_shapes), reporter=CtrlC(HEAD, 6))
    victim = own_shapes / "green" / "07.png"
    if change == "deleted":
        victim.unlink()
    else:
        victim.write_bytes(b"no image" if change == "no image" else (own_shapes / "red" / "07.png").read_bytes())
    with pytest.raises(RunError, match=r"green/07\.png: expected the image that this run was begun with"):
        train_shapes("run", resume=True)


def test_images_that_were_added_after_the_beginning_stay_out_of_a_resumed_run(
    train_shapes: TrainShapes, own_shapes: Path
) -> None:
    train_shapes("run", images=str(own_shapes), reporter=CtrlC(HEAD, 6))
    (own_shapes / "red" / "new.png").write_bytes((own_shapes / "red" / "07.png").read_bytes())
    assert len(train_shapes("run", resume=True).run.snapshot()) == 72


def test_a_resume_with_another_backbone_is_refused(train_shapes: TrainShapes, backbone: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(backbone, tmp_path / "own"))
    train_shapes("run", backbone=str(own), reporter=CtrlC(HEAD, 6))
    (own / "config.json").write_text((own / "config.json").read_text() + "\n")
    with pytest.raises(BackboneError, match="expected the backbone of this run"):
        train_shapes("run", resume=True)


# The run's folder


def test_the_history_has_each_epoch_once_and_in_order_after_any_number_of_lives(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for stage, number, best in [
        ("head", 1, True), ("head", 2, True), ("head", 3, True), ("head", 4, False),
        ("head", 3, False),  # resumed from the second; the third and fourth are of the life that was cut off
        ("fine_tune", 1, True), ("fine_tune", 2, False), ("fine_tune", 1, True),
    ]:  # fmt: skip
        run.append_event("epoch", stage=stage, epoch=number, best=best)
    assert epochs(run) == [("head", 1), ("head", 2), ("head", 3), ("fine_tune", 4)]
    assert [row["best"] for row in run.history()] == [True, True, False, True]
    assert run.best_epoch() == 4


def test_a_torn_line_among_the_events_is_passed_over(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.append_event("epoch", stage="head", epoch=1, best=True)
    with run.events_path.open("a") as file:
        file.write('{"event": "epoch", "stage": "he')
    assert epochs(run) == [("head", 1)]
    run.append_event("start", resumed=True)  # what stands behind the torn line is lost with it
    run.append_event("epoch", stage="head", epoch=2, best=True)
    assert epochs(run) == [("head", 1), ("head", 2)]


def test_a_run_without_an_epoch_has_no_best_one(tmp_path: Path) -> None:
    assert Run(tmp_path).history() == []
    assert Run(tmp_path).best_epoch() is None
