"""Ctrl-C and SIGTERM: what was computed stays, and the last lines say how to go on."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from onsight_process import Onsight, command_environment
from onsight_server import SCRIPT
from tiny_runs import TinyRun, shapes

from bundle.home import OnsightHome
from trainer.run import Run

pytestmark = pytest.mark.slow


def start(home: OnsightHome, cwd: Path, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [SCRIPT, *map(str, arguments)], cwd=cwd, env=command_environment(home.path), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_training_that_is_stopped_is_a_run_to_export_and_to_go_on_with(
    name: str, single_run: TinyRun, home: OnsightHome, onsight: Onsight, tmp_path: Path
) -> None:
    process = start(
        home, tmp_path, "train", single_run.images, "--out", "run", "--from-scratch", "--epochs", 4000,
        "--patience", 4000, "--size", 16, "--hidden-units", 8, "--threads", 1,
    )  # fmt: skip
    wait_for(lambda: len(Run(tmp_path / "run").history()) > 2, process)
    process.send_signal(getattr(signal, name))
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert stdout.startswith("Right on ")
    assert "Traceback" not in stderr
    assert "Ended early, with the best model so far, after" in stderr
    assert stderr.splitlines()[-2:] == [
        "Next:   onsight export run --out run.onsight",
        "Or:     onsight train --resume --out run",
    ]
    assert onsight("export", "run", "--out", "run.onsight").code == 0


def test_training_that_is_stopped_before_its_first_epoch_says_how_to_go_on(
    single_run: TinyRun, home: OnsightHome, tmp_path: Path
) -> None:
    process = start(
        home, tmp_path, "train", single_run.images, "--out", "run", "--from-scratch", "--size", 256, "--threads", 1
    )
    wait_for(lambda: (tmp_path / "run" / "model.json").is_file(), process)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert (process.returncode, stdout) == (1, "")
    assert "Traceback" not in stderr
    assert stderr.splitlines()[-2:] == [
        "Stopped. What was computed is kept.",
        "Go on:  onsight train --resume --out run",
    ]


@pytest.mark.parametrize("file_name", ["results.csv", "results.json"])
def test_labelling_that_is_stopped_keeps_a_whole_file_of_the_answers_so_far(
    file_name: str, single_bundle: Path, home: OnsightHome, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    shapes(("blue",), 1, edge=1500).save(images / "0000.png", compress_level=1)
    for number in range(1, 4000):
        (images / f"{number:04}.png").hardlink_to(images / "0000.png")
    process = start(
        home,
        tmp_path,
        "predict",
        single_bundle,
        images,
        "--out",
        file_name,
        "--workers",
        1,
        "--group-by-label",
        "sorted",
    )
    wait_for(lambda: any((tmp_path / "sorted").rglob("*.png")), process)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 1, stderr
    assert "Traceback" not in stderr
    text = (tmp_path / file_name).read_text(encoding="utf-8")
    rows = json.loads(text) if file_name.endswith("json") else list(csv.DictReader(text.splitlines()))
    assert 0 < len(rows) < 4000
    assert f"{len(rows):,} of 4,000 images labelled" in stderr
    assert f"Stopped: {4000 - len(rows):,} images were not looked at" in stderr
    assert not [path for path in tmp_path.iterdir() if path.name.endswith((".part", ".tmp"))]
