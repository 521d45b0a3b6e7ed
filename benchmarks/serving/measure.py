"""Prove that all contenders answer alike, then measure them in turn, round by round.

First each runs alone: it is started, its answers are compared with those of plain inference, it takes load, its memory
is read. Then all that passed are kept running, and each round gives every contender the same cells (size of photo,
requests at once), in an order that is drawn anew for each cell: whatever else the machine does meanwhile hits all
alike, and two figures that are divided were taken within half a minute. A server that still works at requests whose
client has gone is waited for. Idle servers cost next to nothing; what they and everybody else used is recorded with
each sample.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tqdm import tqdm

from benchmarks.serving.accounting import Memory, cpu_seconds, machine_busy_seconds, memory
from benchmarks.serving.contender import Contender, Setup, Skipped
from benchmarks.serving.load import Load, LoadError
from benchmarks.serving.photos import Size

PHOTOS_COMPARED = 8
MEMORY_LOAD_S = 2.0
SETTLE_STEP_S, SETTLE_WITHIN_S = 0.1, 10.0


@dataclass(frozen=True)
class Cell:
    size: Size
    concurrency: int


@dataclass(frozen=True)
class Plan:
    sizes: tuple[Size, ...]
    concurrency: tuple[int, ...]
    seconds: float
    rounds: int
    seed: int = 0

    @property
    def cells(self) -> list[Cell]:
        return [Cell(size, concurrency) for size in self.sizes for concurrency in self.concurrency]


@dataclass(frozen=True)
class Proof:
    """Of one contender, alone on the machine.

    max_difference: of a probability, from the reference's.  memory: after load, its photos, model and all.
    """

    reference: str
    start_s: float
    max_difference: float
    memory: Memory


@dataclass(frozen=True)
class Sample:
    """One contender under one load.

    cpu_ms: its CPU time a request.  idle_cores, other_cores: what the waiting contenders, and everything else on the
    machine but wrk, kept busy meanwhile.
    """

    contender: str
    cell: Cell
    round: int
    load: Load
    cpu_ms: float
    idle_cores: float
    other_cores: float


@dataclass
class Outcome:
    proofs: dict[str, Proof] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


def measure(contenders: Sequence[Contender], references: Sequence[Contender], setup: Setup, plan: Plan) -> Outcome:
    """references: whose answers are right, whether they are contenders or not."""
    outcome = Outcome()
    answers = {reference.name: _answers_of(reference, setup) for reference in references}
    passed = []
    bar = tqdm(contenders, desc="install, start, compare", unit="contender", file=sys.stderr)
    for contender in bar:
        bar.set_postfix_str(contender.name)
        try:
            contender.prepare(setup.cache)
            outcome.proofs[contender.name] = prove(contender, answers[contender.reference], setup, plan)
            passed.append(contender)
        except (Skipped, LoadError) as error:
            outcome.skipped[contender.name] = str(error)
            tqdm.write(f"{contender.name} is skipped: {error}", file=sys.stderr)
    with running(passed, setup, outcome) as started:
        run_rounds(started, plan, outcome)
    return outcome


def prove(contender: Contender, answers: Mapping[Size, list[list[float]]], setup: Setup, plan: Plan) -> Proof:
    """Raises Skipped where it does not answer as it should."""
    began = time.monotonic()
    try:
        contender.start(setup)
        start_s = time.monotonic() - began
        difference = 0.0
        for size, rows in answers.items():
            for number, row in enumerate(rows):
                found = contender.probabilities(size, number)
                difference = max(difference, compare(row, found, contender.tolerance))
        contender.load(plan.sizes[-1], max(plan.concurrency), MEMORY_LOAD_S)
        return Proof(contender.reference, start_s, difference, memory(contender.pid))
    finally:
        contender.stop()


def compare(expected: Sequence[float], found: Sequence[float], tolerance: float) -> float:
    """The largest difference. Raises Skipped beyond the tolerance, or where the top label is clearly another one."""
    difference = max(abs(one - other) for one, other in zip(expected, found, strict=True))
    top = max(range(len(found)), key=found.__getitem__)
    if difference > tolerance or max(expected) - expected[top] > tolerance:
        raise Skipped(f"answers differ from plain inference by up to {difference:.2g}, more than {tolerance:g}")
    return difference


@contextmanager
def running(contenders: Sequence[Contender], setup: Setup, outcome: Outcome) -> Iterator[list[Contender]]:
    """All of them at once; one that does not start this time is skipped."""
    started = []
    try:
        for contender in contenders:
            try:
                contender.start(setup)
                started.append(contender)
            except Skipped as error:
                outcome.skipped[contender.name] = str(error)
        yield started
    finally:
        for contender in contenders:
            contender.stop()


def run_rounds(started: Sequence[Contender], plan: Plan, outcome: Outcome) -> None:
    draw = random.Random(plan.seed)
    alive = list(started)
    bar = tqdm(total=plan.rounds * len(plan.cells) * len(alive), desc="measure", unit="sample", file=sys.stderr)
    with bar:
        for number in range(plan.rounds):
            for cell in plan.cells:
                for contender in draw.sample(alive, len(alive)):
                    bar.set_postfix_str(f"{contender.name} {cell.size[0]}x{cell.size[1]} c={cell.concurrency}")
                    others = [other for other in alive if other is not contender]
                    try:
                        outcome.samples.append(sample(contender, others, cell, number, plan.seconds))
                    except (Skipped, LoadError, OSError) as error:
                        outcome.skipped[contender.name] = f"round {number + 1}: {error}"
                        alive.remove(contender)
                    bar.update()


def sample(contender: Contender, others: Sequence[Contender], cell: Cell, number: int, seconds: float) -> Sample:
    before = cpu_seconds(contender.pid), sum(cpu_seconds(other.pid) for other in others), machine_busy_seconds()
    load = contender.load(cell.size, cell.concurrency, seconds)
    after = cpu_seconds(contender.pid), sum(cpu_seconds(other.pid) for other in others), machine_busy_seconds()
    own, idle, busy = (end - start for start, end in zip(before, after, strict=True))
    wait_until_idle(contender.pid)
    if not load.requests:
        raise Skipped(f"no good answer at {cell.concurrency} requests at once, {load.errors} errors")
    return Sample(
        contender.name,
        cell,
        number,
        load,
        cpu_ms=own * 1000 / load.requests,
        idle_cores=idle / load.seconds,
        other_cores=max(0.0, busy - own - idle - load.client_cpu_s) / load.seconds,
    )


def wait_until_idle(pid: int) -> None:
    """What it still works at for clients that have gone must not slow the next contender down."""
    deadline = time.monotonic() + SETTLE_WITHIN_S
    while time.monotonic() < deadline:
        before = cpu_seconds(pid)
        time.sleep(SETTLE_STEP_S)
        if cpu_seconds(pid) - before < SETTLE_STEP_S / 4:
            return


def _answers_of(reference: Contender, setup: Setup) -> dict[Size, list[list[float]]]:
    try:
        reference.start(setup)
        return {
            size: [reference.probabilities(size, number) for number in range(PHOTOS_COMPARED)] for size in setup.photos
        }
    finally:
        reference.stop()
