"""From samples to figures: medians over rounds, and ratios that are taken within a round before their median is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.serving.measure import Cell, Sample


@dataclass(frozen=True)
class Ratio:
    """Median, lowest and highest over the rounds."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """One contender in one cell. Times in milliseconds, None where nothing waits; errors: of all rounds."""

    contender: str
    cell: Cell
    per_second: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    cpu_ms: float
    errors: int
    of_limit: Ratio | None
    of_best_peer: Ratio | None


def summarise(samples: Sequence[Sample], limit: str, peers: Iterable[str]) -> list[Row]:
    """Rows in the order of the cells, then of the contenders' names as they first appear."""
    rows = []
    names = list(dict.fromkeys(sample.contender for sample in samples))
    for cell in dict.fromkeys(sample.cell for sample in samples):
        here = [sample for sample in samples if sample.cell == cell]
        by_name = {name: mine for name in names if (mine := [s for s in here if s.contender == name])}
        best = best_peer(here, peers)
        for name, mine in by_name.items():
            rows.append(
                Row(
                    name,
                    cell,
                    median(sample.load.per_second for sample in mine),
                    _median([sample.load.p50_ms for sample in mine]),
                    _median([sample.load.p95_ms for sample in mine]),
                    _median([sample.load.p99_ms for sample in mine]),
                    median(sample.cpu_ms for sample in mine),
                    sum(sample.load.errors for sample in mine),
                    throughput_ratio(mine, by_name.get(limit, [])),
                    throughput_ratio(mine, by_name[best]) if best else None,
                )
            )
    return rows


def best_peer(samples: Sequence[Sample], peers: Iterable[str]) -> str | None:
    """Of one cell: the peer with the highest median throughput."""
    rates = {
        name: median(mine)
        for name in peers
        if (mine := [sample.load.per_second for sample in samples if sample.contender == name])
    }
    return max(rates, key=rates.__getitem__) if rates else None


def throughput_ratio(samples: Sequence[Sample], base: Sequence[Sample]) -> Ratio | None:
    """Of the rounds that both have; None where there is none."""
    rates = {sample.round: sample.load.per_second for sample in base}
    ratios = [sample.load.per_second / rates[sample.round] for sample in samples if sample.round in rates]
    return Ratio(median(ratios), min(ratios), max(ratios)) if ratios else None


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
