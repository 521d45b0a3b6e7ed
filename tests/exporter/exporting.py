"""What a failed export must leave behind: nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from bundle.errors import OnsightError
from trainer.run import Run


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
