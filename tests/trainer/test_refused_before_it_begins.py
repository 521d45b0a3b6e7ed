"""A slip in the choices shows before any image is read, and before an earlier run of the same folder is cleared."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bundle.errors import OnsightError
from trainer.progress import SilentReporter

TrainShapes = Callable[..., Any]


class NothingSaid(SilentReporter):
    def progress(self, stage: str, done: int, total: int) -> None:
        raise AssertionError(f"{stage}: {done} of {total} were begun")


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"validation_fraction": 0.6, "test_fraction": 0.4}, "sum below 1"),
        ({"validation_list": "others.txt"}, "validation list: expected names of images"),
        ({"test_list": "others.txt"}, "test list: expected names of images"),
        ({"validation_list": "gone.txt"}, "gone.txt: expected a list"),
        ({"test_list": "all.txt"}, "expected images left to train on"),
        ({"backbone": "broken"}, "broken"),
    ],
)
def test_choices_that_cannot_be_met_leave_an_earlier_run_as_it_was(
    train_shapes: TrainShapes, shapes: Path, backbone: Path, tmp_path: Path, choices: dict[str, Any], said: str
) -> None:
    (tmp_path / "others.txt").write_text("nothing.png\n")
    (tmp_path / "all.txt").write_text("".join(f"{path.relative_to(shapes)}\n" for path in shapes.rglob("*.png")))
    shutil.copytree(backbone, tmp_path / "broken")
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"no weights")
    named = {k: str(tmp_path / v) if isinstance(v, str) else v for k, v in choices.items()}
    run = train_shapes("run", epochs=1).run
    before = {path.name: path.read_bytes() for path in run.folder.iterdir()}
    for folder in ("run", "new"):
        with pytest.raises(OnsightError, match=said):
            train_shapes(folder, overwrite=True, reporter=NothingSaid(), **named)
    assert {path.name: path.read_bytes() for path in run.folder.iterdir()} == before
    assert not (tmp_path / "new").exists()
