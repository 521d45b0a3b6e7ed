"""The figures as Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.serving.measure import Outcome, Plan
from benchmarks.serving.summary import Ratio, Row

SECTION = "benchmarks.serving"  # of RESULTS.md
BUSY_CORES = 0.2  # of other programs; beyond it the machine was not quiet
_SHARES = ("idle_cores", "other_cores")


@dataclass(frozen=True)
class Facts:
    """What a reader needs beside the figures. titles, versions: by contender.  when: an ISO date."""

    when: str
    model: str
    machine: Mapping[str, str]
    titles: Mapping[str, str]
    versions: Mapping[str, str]
    photo_kilobytes: Mapping[str, float]


def markdown(outcome: Outcome, rows: Sequence[Row], plan: Plan, facts: Facts, plot: str | None) -> str:
    """The whole section. plot: where the picture lies, seen from the section's file."""
    lines = ["## Serving: `python -m benchmarks.serving`", "", *map(_wrapped, _preamble(outcome, plan, facts)), ""]
    if plot:
        lines += [f"![Throughput of every contender, by size of photo and requests at once]({plot})", ""]
    for size in plan.sizes:
        name = f"{size[0]}x{size[1]}"
        lines += [f"### {size[0]} x {size[1]}, {facts.photo_kilobytes[name]:.0f} KB a photo", ""]
        lines += [*throughput_table([row for row in rows if row.cell.size == size], facts.titles), ""]
    lines += ["### Memory, start, agreement", "", *proof_table(outcome, facts.titles)]
    if outcome.skipped:
        lines += ["", "Skipped:", ""]
        lines += [f"- {facts.titles[name]}: {' '.join(reason.split())}" for name, reason in outcome.skipped.items()]
    return "\n".join(lines)


def throughput_table(rows: Sequence[Row], titles: Mapping[str, str]) -> Iterator[str]:
    """One size of photo; the requests at once are the first column."""
    yield "| at once | | images/s | of limit | of best peer | p50 ms | p95 ms | p99 ms | CPU ms an image | errors |"
    yield "|---:|---|" + "---:|" * 8
    shown = None
    for row in rows:
        at_once = "" if row.cell.concurrency == shown else str(row.cell.concurrency)
        shown = row.cell.concurrency
        times = " | ".join(_number(value) for value in (row.p50_ms, row.p95_ms, row.p99_ms))
        ratios = f"{_ratio(row.of_limit)} | {_ratio(row.of_best_peer)}"
        yield (
            f"| {at_once} | {titles[row.contender]} | {_number(row.per_second)} | {ratios} | {times} |"
            f" {row.cpu_ms:.1f} | {row.errors} |"
        )


def proof_table(outcome: Outcome, titles: Mapping[str, str]) -> Iterator[str]:
    yield "| | pss MB | rss MB | peak MB | start s | largest difference of a probability | ... from |"
    yield "|---|" + "---:|" * 5 + "---|"
    for name, proof in outcome.proofs.items():
        memory = proof.memory
        yield (
            f"| {titles[name]} | {memory.pss:.0f} | {memory.rss:.0f} | {memory.peak_rss:.0f} | {proof.start_s:.1f} |"
            f" {proof.max_difference:.1g} | {titles.get(proof.reference, proof.reference)} |"
        )


def _preamble(outcome: Outcome, plan: Plan, facts: Facts) -> Iterator[str]:
    machine = ", ".join(f"{name} {text}" for name, text in facts.machine.items())
    yield f"{facts.when}. {machine}. {facts.model}"
    yield ""
    idle, other = (median([getattr(each, name) for each in outcome.samples] or [0.0]) for name in _SHARES)
    if other > BUSY_CORES:
        yield (
            f"**The machine was not quiet: other programs kept {other:.1f} cores busy.** Throughput and latency then"
            " show whom the scheduler favoured (even the limit can seem slow); CPU time, memory and errors count."
        )
        yield ""
    yield (
        f"{plan.rounds} rounds of {plan.seconds:g} s for each figure, the contenders in an order drawn anew each time;"
        " figures are medians of the rounds, ratios (lowest to highest) of what was measured within one round. All"
        f" servers stay up; those that wait use {idle:.2f} cores together, other programs {other:.2f}. wrk runs on the"
        " same cores. All have the same ONNX file, photos and number of processes, one a core, each with a session of"
        " one thread."
    )
    yield ""
    yield (
        "The limit is decoding and inference with no HTTP, as many processes as requests at once, but no more than"
        " cores; where requests would wait its latency has no meaning. It decodes at full size, as the peers do."
        " Onsight decodes at the scale that the model needs, so it can exceed the limit; `our decoding` is the limit"
        " with that. Onsight checks a token, logs and counts each request; the peers do none of it."
    )
    versions = "; ".join(f"{facts.titles[name]}: {text}" for name, text in facts.versions.items() if text)
    if versions:
        yield ""
        yield f"{versions}."


def _wrapped(paragraph: str) -> str:
    return textwrap.fill(paragraph, 130, break_long_words=False, break_on_hyphens=False)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _ratio(ratio: Ratio | None) -> str:
    if ratio is None:
        return ""
    spread = "" if ratio.low == ratio.high else f" ({ratio.low:.2f} to {ratio.high:.2f})"
    return f"{ratio.median:.2f}{spread}"
