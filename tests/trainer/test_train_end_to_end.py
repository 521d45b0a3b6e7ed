"""Training from a folder of images to a run: real images, real networks, every kind of data set and of command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from shape_pictures import write_class_folders, write_tagged

from bundle.keys import SigningKey
from bundle.load import load_bundle
from bundle.manifest import Task
from bundle.trust import TrustStore
from exporter.export import export_run
from trainer.errors import DatasetError
from trainer.progress import SilentReporter
from trainer.run import Run

TrainShapes = Callable[..., Any]
PROJECT = Path(__file__).parents[2]


def figures(run: Run, model: str = "best") -> dict[str, dict[str, Any]]:
    """Metrics of each split, by name."""
    document = json.loads(run.statistics_path.read_text())["models"][model]
    return {name: split["metrics"] for name, split in document["splits"].items()}


def assert_consistent(run: Run) -> None:
    """Scores of every image of the snapshot, finite; a report; statistics of the splits that have images."""
    snapshot = run.snapshot()
    with np.load(run.predictions_path) as predictions:
        assert tuple(predictions["paths"]) == snapshot.paths
        assert np.array_equal(predictions["truth"], snapshot.label_matrix)
        for name in ("best_logits", "last_logits"):
            assert predictions[name].shape == snapshot.label_matrix.shape
            assert np.isfinite(predictions[name]).all()
    names = {name for code, name in enumerate(("train", "validation", "test")) if (snapshot.splits == code).any()}
    assert set(figures(run)) == names
    assert run.report_path.stat().st_size > 10_000
    assert not run.resume_path.exists()


# Data sets


def test_a_head_on_a_frozen_backbone_tells_colours_apart_that_it_has_not_seen(train_shapes: TrainShapes) -> None:
    outcome = train_shapes("run", epochs=40, learning_rate=1e-2, validation_fraction=0.2, test_fraction=0.25)
    assert_consistent(outcome.run)
    assert figures(outcome.run)["test"]["accuracy"]["value"] > 0.6  # a random backbone; chance is a third
    assert outcome.run.model().labels == ("blue", "green", "red")


def test_two_labels_are_enough_and_one_is_not(train_shapes: TrainShapes, tmp_path: Path) -> None:
    two = write_class_folders(tmp_path / "two", {"blue": 10, "red": 10})
    assert_consistent(train_shapes("run", images=str(two)).run)
    one = write_class_folders(tmp_path / "one" / "images", {"blue": 10})
    with pytest.raises(DatasetError):
        train_shapes("refused", images=str(one))
    assert not (tmp_path / "refused" / "best.safetensors").exists()


def test_several_labels_an_image_come_from_a_label_file(train_shapes: TrainShapes, tmp_path: Path) -> None:
    images, labels = write_tagged(tmp_path / "tagged", 60)
    choices = {"images": str(images), "labels_file": str(labels), "task": "multi_label", "class_weighting": True}
    outcome = train_shapes("run", epochs=30, learning_rate=1e-2, **choices)
    assert_consistent(outcome.run)
    assert outcome.run.model().task is Task.MULTI_LABEL
    snapshot = outcome.run.snapshot()
    assert set(snapshot.label_matrix.sum(1).tolist()) >= {0, 1, 2}
    with np.load(outcome.run.predictions_path) as predictions:
        right = (predictions["last_logits"] > 0) == snapshot.label_matrix
    assert right[snapshot.splits == 0].mean() > 0.8


def test_a_training_without_validation_images_goes_by_the_training_loss(train_shapes: TrainShapes) -> None:
    outcome = train_shapes("run", validation_fraction=0)
    assert_consistent(outcome.run)
    assert set(figures(outcome.run)) == {"train"}
    assert outcome.best_epoch == 1 + int(np.argmin([row["train_loss"] for row in outcome.run.history()]))


def test_one_validation_image_is_enough(train_shapes: TrainShapes, tmp_path: Path) -> None:
    names = tmp_path / "validation.txt"
    names.write_text("green/03.png\n")
    outcome = train_shapes("run", validation_list=str(names))
    assert_consistent(outcome.run)
    assert (outcome.run.snapshot().splits == 1).sum() == 1


def test_a_mirror_image_across_the_split_is_found_by_the_features_and_told(
    train_shapes: TrainShapes, tmp_path: Path
) -> None:
    images = write_class_folders(tmp_path / "images", {"blue": 6, "red": 6})
    with Image.open(images / "blue/03.png") as image:
        ImageOps.mirror(image).save(images / "blue/turned.png")
    names = tmp_path / "validation.txt"
    names.write_text("blue/turned.png\n")
    snapshot = train_shapes("run", images=str(images), validation_list=str(names), epochs=1).run.snapshot()
    told = {warning.code: warning.items for warning in snapshot.warnings}
    assert told["likely_leaks"] == ("blue/turned.png (validation) ~ blue/03.png (train)",)


def test_a_class_of_a_single_image_takes_part(train_shapes: TrainShapes, tmp_path: Path) -> None:
    images = write_class_folders(tmp_path / "images", {"blue": 12, "green": 1, "red": 12})
    outcome = train_shapes("run", images=str(images), class_weighting=True)
    assert_consistent(outcome.run)
    assert outcome.run.snapshot().label_counts()["green"] == 1
    assert any("green" in warning.message for warning in outcome.run.snapshot().warnings)


def test_four_images_are_trained_on_and_warned_of(train_shapes: TrainShapes, tmp_path: Path) -> None:
    images = write_class_folders(tmp_path / "images", {"blue": 2, "red": 2})
    for name, choices in (("head", {}), ("scratch", {"backbone": None, "epochs": 1, "batch_size": 1})):
        outcome = train_shapes(name, images=str(images), **choices)
        assert_consistent(outcome.run)
        assert outcome.run.snapshot().warnings


def test_a_folder_whose_name_is_no_text_is_told_of_and_stops_nothing(
    train_shapes: TrainShapes, own_shapes: Path
) -> None:
    odd = own_shapes / os.fsdecode(b"bad\xff")
    odd.mkdir()
    (odd / "1.png").write_bytes((own_shapes / "red" / "03.png").read_bytes())
    run = train_shapes("run", images=str(own_shapes)).run
    assert_consistent(run)
    assert "bad" in run.report_path.read_text()


def test_files_that_cannot_be_read_are_listed_and_left_out(train_shapes: TrainShapes, own_shapes: Path) -> None:
    (own_shapes / "red" / "03.png").write_bytes(b"")
    (own_shapes / "blue" / "05.png").write_text("no image")
    (own_shapes / "green" / "notes.txt").write_text("hello")
    outcome = train_shapes("run", images=str(own_shapes))
    assert_consistent(outcome.run)
    snapshot = outcome.run.snapshot()
    assert len(snapshot) == 70
    assert {file.path for file in snapshot.skipped} == {"red/03.png", "blue/05.png", "green/notes.txt"}
    assert "red/03.png" in outcome.run.report_path.read_text(encoding="utf-8")


def test_a_folder_in_which_nothing_can_be_read_is_refused(train_shapes: TrainShapes, own_shapes: Path) -> None:
    for path in own_shapes.rglob("*.png"):
        path.write_text("no image")
    with pytest.raises(DatasetError, match="none can be read"):
        train_shapes("run", images=str(own_shapes))


def test_a_training_that_diverges_still_leaves_a_run(train_shapes: TrainShapes) -> None:
    outcome = train_shapes("run", backbone=None, learning_rate=9.9, epochs=2)
    assert_consistent(outcome.run)


def test_labels_of_any_alphabet_are_written_in_utf_8(train_shapes: TrainShapes, tmp_path: Path) -> None:
    images = write_class_folders(tmp_path / "images", {"blue": 6, "red": 6})
    (images / "blue").rename(images / "синий, 青い")
    run = train_shapes("run", images=str(images)).run
    assert "синий, 青い" in run.report_path.read_bytes().decode("utf-8")
    assert run.model().labels[1] == "синий, 青い"


# What a person is told


def test_a_second_training_on_the_same_images_recalls_every_feature(train_shapes: TrainShapes) -> None:
    class Listener(SilentReporter):
        def __init__(self) -> None:
            self.said: list[str] = []

        def say(self, text: str) -> None:
            self.said.append(text)

    train_shapes("first")
    listener = Listener()
    outcome = train_shapes("second", hidden_units=8, reporter=listener)
    (line,) = [text for text in listener.said if text.startswith("features: ")]
    assert line.startswith("features: 72 recalled in ")
    assert [row["text"] for row in outcome.run.events("message")] == listener.said


def test_the_small_network_says_that_transfer_learning_needs_a_backbone(train_shapes: TrainShapes) -> None:
    outcome = train_shapes("run", backbone=None, epochs=1)
    assert any("leave out --from-scratch" in row["text"] for row in outcome.run.events("message"))
    assert_consistent(outcome.run)


# Export


@pytest.mark.slow
@pytest.mark.parametrize(
    "choices",
    [{}, {"backbone": None}, {"fine_tune": True}, {"random_weights": True}, {"hidden_units": 0}],
    ids=["head", "scratch", "fine-tuned", "random-weights", "linear"],
)
def test_every_kind_of_run_is_exported_with_proof(
    train_shapes: TrainShapes, tmp_path: Path, choices: dict[str, Any]
) -> None:
    run = train_shapes("run", **choices).run
    key, trust = SigningKey.generate(), TrustStore(tmp_path / "trust")
    trust.add(key.public_key, "own")
    for model in ("best", "last"):
        export_run(run, tmp_path / f"{model}.onsight", key, choice=model)
        manifest = load_bundle(tmp_path / f"{model}.onsight", trust).manifest
        assert manifest.labels == ("blue", "green", "red")
        assert manifest.backbone.fine_tuned == (
            "fine_tune" in choices or bool({"backbone", "random_weights"} & {*choices})
        )


@pytest.mark.slow
def test_a_run_that_was_interrupted_is_exported(train_shapes: TrainShapes, tmp_path: Path) -> None:
    class CtrlC(SilentReporter):
        def progress(self, stage: str, done: int, total: int) -> None:
            if stage == "training the head" and done == 10:
                raise KeyboardInterrupt

    outcome = train_shapes("run", fine_tune=True, reporter=CtrlC())
    assert outcome.interrupted
    assert export_run(outcome.run, tmp_path / "x.onsight", SigningKey.generate()).path.is_file()


# Real processes


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start `onsight ...` in a process of its own with a home of the test's own."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: object) -> subprocess.Popen[str]:
        environment = {**os.environ, "ONSIGHT_HOME": str(tmp_path / "home"), "PYTHONPATH": str(PROJECT)}
        process = subprocess.Popen(
            [sys.executable, "-m", "onsight.cli", *map(str, arguments)],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_for_epoch(run: Run, process: subprocess.Popen[str], number: int) -> None:
    give_up = time.monotonic() + 120
    while len(run.history()) < number:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < give_up, "no epoch within two minutes"
        time.sleep(0.01)


EPOCHS = 60  # so many that a signal sent in the third arrives before the last, on a busy machine as well
SMALL = (
    "--from-scratch", "--size", 16, "--epochs", EPOCHS, "--patience", EPOCHS, "--hidden-units", 16, "--threads", 1,
    "--seed", 5,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_training_that_is_cut_off_goes_on_and_ends_with_the_same_weights(
    start: Start, shapes: Path, tmp_path: Path, how: signal.Signals
) -> None:
    run = Run(tmp_path / "cut")
    process = start("train", shapes, "--out", run.folder, *SMALL)
    wait_for_epoch(run, process, 3)
    process.send_signal(how)
    process.communicate(timeout=60)
    assert run.trained == (how is not signal.SIGKILL)
    assert process.returncode == (-how if how is signal.SIGKILL else 0)
    assert len(run.history()) < EPOCHS

    resumed = start("train", "--resume", "--out", run.folder)
    assert resumed.wait(120) == 0, resumed.communicate()
    whole = start("train", shapes, "--out", tmp_path / "whole", *SMALL)
    assert whole.wait(120) == 0, whole.communicate()
    for name in ("best.safetensors", "last.safetensors"):
        assert (run.folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert [row["epoch"] for row in run.history()] == list(range(1, EPOCHS + 1))
    assert_consistent(run)


@pytest.mark.slow
def test_two_processes_of_the_same_seed_give_the_same_files(
    start: Start, shapes: Path, backbone: Path, tmp_path: Path
) -> None:
    arguments = ("--backbone", backbone, "--fine-tune", "--epochs", 3, "--hidden-units", 16, "--threads", 1)
    runs = [tmp_path / "one", tmp_path / "two"]  # at once, and with one cache
    processes = [start("train", shapes, "--out", run, *arguments) for run in runs]
    for process in processes:
        assert process.wait(180) == 0, process.communicate()
    for name in ("best.safetensors", "last.safetensors", "snapshot.json"):
        assert (runs[0] / name).read_bytes() == (runs[1] / name).read_bytes()
