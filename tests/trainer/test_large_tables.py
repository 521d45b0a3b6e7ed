"""Tables that are larger than memory stay on disk: what is done with one takes a few of its rows at a time."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from trainer.features import keep_rows
from trainer.head import Head

ROWS, WIDTH = 160_000, 16


@pytest.fixture
def table(tmp_path: Path) -> np.memmap:
    """10 MB of features in a file; row n holds numbers around n."""
    table = np.memmap(tmp_path / "table", np.float32, "w+", shape=(ROWS, WIDTH))
    table[:] = np.arange(ROWS)[:, None] + np.linspace(0, 1, WIDTH)
    return table


@pytest.mark.parametrize("left_out", [{0}, {ROWS - 1}, {3, 4, 5, 300, 20_000}, set(range(0, ROWS, 2)), set()])
def test_rows_are_left_out_of_a_table_without_a_second_one(table: np.memmap, left_out: set[int]) -> None:
    rows = np.array([row for row in range(ROWS) if row not in left_out])
    wanted = np.array(table[rows])
    tracemalloc.start()
    kept = keep_rows(table, rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(kept, wanted)
    assert peak < table.nbytes / 10


def test_a_head_is_standardised_by_its_training_rows_without_a_copy_of_them(table: np.memmap) -> None:
    rows = np.arange(0, ROWS, 2)
    wanted = np.array(table[rows], np.float64)
    head = Head(WIDTH, 2, 0)
    tracemalloc.start()
    head.standardise(table, rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.allclose(head.mean.numpy(), wanted.mean(0))
    assert np.allclose(head.deviation.numpy(), np.maximum(wanted.std(0), 1e-3 * wanted.mean(0)), rtol=1e-4)
    assert peak < table.nbytes / 4  # half of the table are training rows
