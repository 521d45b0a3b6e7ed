"""The table of promises in benchmarks/RESULTS.md: rows come and are replaced, and everything around them stays."""

from __future__ import annotations

from pathlib import Path

from benchmarks.promises.promise import Outcome, Promise
from benchmarks.promises.record import SECTION, record
from benchmarks.sections import markers

ONE, TWO = (Promise(name, f"the promise {name}", lambda _: Outcome("", kept=True)) for name in ("one", "two"))
BOTH = (ONE, TWO)


def rows(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line.startswith("| `")]


def test_a_table_is_added_once_and_its_rows_are_replaced_one_by_one(tmp_path: Path) -> None:
    results = tmp_path / "RESULTS.md"
    results.write_text("# Measured\n\nbefore\n")
    record({TWO: Outcome("4 of 5", kept=False)}, BOTH, results)
    results.write_text(results.read_text() + "\nafter\n")
    record({ONE: Outcome("7 | 8", kept=True)}, BOTH, results)
    record({TWO: Outcome("5 of 5", kept=True)}, BOTH, results)
    one, two = rows(results)
    assert one.startswith("| `one` | the promise one | 7 \\| 8 | ")
    assert two.startswith("| `two` | the promise two | 5 of 5 | ")
    assert two.endswith(" | yes |")
    text = results.read_text()
    assert text.startswith("# Measured\n\nbefore\n")
    assert text.endswith("\nafter\n")
    assert [text.count(marker) for marker in markers(SECTION)] == [1, 1]


def test_every_promise_of_serving_is_in_the_catalogue_once() -> None:
    from benchmarks.promises.catalogue import PROMISES

    names = [promise.name for promise in PROMISES]
    assert len(names) == len(set(names)) >= 12
    assert all(promise.text for promise in PROMISES)
