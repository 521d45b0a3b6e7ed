"""A training that begins from another run's best weights: what they share is taken over, what is new is learnt."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from shape_pictures import write_class_folders

from trainer.errors import RunError
from trainer.progress import SilentReporter

TrainShapes = Callable[..., Any]
STILL = {"epochs": 1, "learning_rate": 1e-12}  # a training that changes nothing


def best(outcome: Any) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = outcome.run.load_tensors(outcome.run.weights_path("best"))
    return weights


def test_a_training_that_changes_nothing_gives_the_model_it_began_from(train_shapes: TrainShapes) -> None:
    first = train_shapes("first")
    again = train_shapes("again", warm_start=str(first.run.folder), **STILL)
    cold = train_shapes("cold", **STILL)
    wanted, found, other = best(first), best(again), best(cold)
    assert all(torch.allclose(found[name], wanted[name], atol=1e-6) for name in wanted)
    assert not torch.allclose(other["output.weight"], wanted["output.weight"], atol=1e-3)


def test_labels_are_matched_by_name_and_a_new_one_begins_as_ever(train_shapes: TrainShapes, tmp_path: Path) -> None:
    first = train_shapes("first")
    images = write_class_folders(tmp_path / "others", {"blue": 12, "green": 12, "red": 12})
    (images / "blue").rename(images / "amber")
    second = train_shapes("second", images=str(images), warm_start=str(first.run.folder), **STILL)
    theirs, ours = first.run.model().labels, second.run.model().labels
    assert (theirs, ours) == (("blue", "green", "red"), ("amber", "green", "red"))
    wanted, found = best(first), best(second)
    for label in ("green", "red"):
        row, before = ours.index(label), theirs.index(label)
        assert torch.allclose(found["output.weight"][row], wanted["output.weight"][before], atol=1e-6)
    assert torch.allclose(found["output.weight"][0], torch.zeros(()), atol=1e-6)
    assert torch.allclose(found["hidden.weight"], wanted["hidden.weight"], atol=1e-6)


def test_what_does_not_fit_is_refused_before_images_are_read(train_shapes: TrainShapes, tmp_path: Path) -> None:
    first = train_shapes("first")
    with pytest.raises(RunError, match="the same hidden units, 8, found 16"):
        train_shapes("other", warm_start=str(first.run.folder), hidden_units=8)
    with pytest.raises(RunError, match="the same backbone"):
        train_shapes("scratch", warm_start=str(first.run.folder), backbone=None)
    with pytest.raises(RunError, match="expected a run folder"):
        train_shapes("nothing", warm_start=str(tmp_path / "nothing"))
    assert not (tmp_path / "other").exists()
    images = write_class_folders(tmp_path / "strangers", {"blue": 12, "red": 12})
    (images / "blue").rename(images / "amber")
    (images / "red").rename(images / "pink")
    with pytest.raises(RunError, match="knew one of the labels amber, pink"):
        train_shapes("strangers-run", images=str(images), warm_start=str(first.run.folder))


@pytest.mark.slow
def test_a_network_from_random_weights_begins_from_another_whole(train_shapes: TrainShapes) -> None:
    first = train_shapes("first", backbone=None, epochs=1)
    again = train_shapes("again", backbone=None, warm_start=str(first.run.folder), **STILL)
    wanted, found = best(first), best(again)
    learnt = [name for name in wanted if name.endswith((".weight", ".bias"))]
    assert all(torch.allclose(found[name], wanted[name], atol=1e-4) for name in learnt)


class CtrlC(SilentReporter):
    def progress(self, stage: str, done: int, total: int) -> None:
        if stage == "training the head" and done >= 6:
            raise KeyboardInterrupt


def test_an_unfinished_training_goes_on_without_the_run_it_began_from(train_shapes: TrainShapes) -> None:
    first = train_shapes("first")
    cut = train_shapes("second", warm_start=str(first.run.folder), reporter=CtrlC())
    assert cut.interrupted
    shutil.rmtree(first.run.folder)
    assert not train_shapes("second", resume=True).interrupted
