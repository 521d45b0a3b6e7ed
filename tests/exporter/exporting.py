"""Exports: one in another process, and what a failed one must leave behind: nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from onsight_process import command_environment
from tiny_runs import EXPORTED_AT

from bundle.errors import OnsightError
from bundle.home import OnsightHome
from bundle.keys import SigningKey
from trainer.run import Run

EXPORT = """
import sys
from datetime import datetime
from pathlib import Path
from bundle.keys import SigningKey
from exporter.export import export_run
from trainer.run import Run

run, out, key, now, *variants = sys.argv[1:]
export_run(Run(Path(run)), Path(out), SigningKey.load(Path(key)), variants=variants, now=datetime.fromisoformat(now))
"""


def export_elsewhere(run: Path, variants: Sequence[str], key: SigningKey, home: OnsightHome, folder: Path) -> Path:
    """The bundle shapes.onsight of a run, made by another process with other hashes and another temporary folder."""
    key_path, out = folder / "key.pem", folder / "other" / "shapes.onsight"
    key.save(key_path)
    environment = {**command_environment(home.path), "PYTHONHASHSEED": "7", "TMPDIR": str(folder)}
    command = [sys.executable, "-c", EXPORT, run, out, key_path, EXPORTED_AT.isoformat(), *variants]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return out


@contextmanager
def refused(error: type[OnsightError], match: str, out: Path) -> Iterator[None]:
    """The block must raise `error`, and leave the folder of `out` with what it held."""
    before = {path: path.read_bytes() for path in out.parent.iterdir() if path.is_file()}
    with pytest.raises(error, match=match):
        yield
    assert {path: path.read_bytes() for path in out.parent.iterdir() if path.is_file()} == before


def change_predictions(run: Run, **changes: np.ndarray) -> None:
    """Write predictions.npz anew with other arrays; None drops one."""
    with np.load(run.predictions_path) as file:
        arrays = {**file, **changes}
    np.savez_compressed(run.predictions_path, **{name: array for name, array in arrays.items() if array is not None})
