"""No leak: resident memory over a million requests of a fast model, and over 200,000 of a MobileNetV2.

Memory is that of all processes of the server. PSS counts a page that processes share once, so their sum is what the
machine spends; RSS counts it in each. Growth is the slope of a straight line through the samples after a tenth of the
requests, over all of the rest.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.promises.promise import CannotBeMeasured, Outcome, Promise
from benchmarks.promises.rig import RED, Bench, bench_server
from benchmarks.serving.accounting import Memory, memory
from benchmarks.serving.load import LoadError, Target, require_wrk, run_wrk
from benchmarks.serving.model import train_on_trashnet
from benchmarks.serving.photos import make_photos

MAX_GROWTH = 0.01
MAX_RESIDENT_MB = 200.0
CONNECTIONS = 8
WARM_UP = 0.1
CACHE = Path("~/.cache/onsight-benchmarks").expanduser()


@dataclass(frozen=True)
class Course:
    """Memory in the course of so many requests."""

    requests: int
    fresh: Memory
    last: Memory
    growth: float  # of RSS, as a fraction of its mean
    errors: int


def watch(bench: Bench, bodies: Path, requests: int, slices: int = 60) -> Course:
    """Send so many requests, and look at the memory now and then."""
    target = Target(bench.server.port, bench.path, {"X-Auth-token": bench.token}, bodies)
    root = bench.server.process.pid
    fresh = memory(root)
    first = run_wrk(target, CONNECTIONS, 2)
    seconds = max(1.0, requests / first.per_second / slices)
    done, errors = first.requests, first.errors
    samples: list[tuple[int, Memory]] = []
    with tqdm(total=requests, unit="request", unit_scale=True, desc="requests", disable=None) as bar:
        bar.update(done)
        while done < requests:
            load = run_wrk(target, CONNECTIONS, min(seconds, max(1.0, (requests - done) / first.per_second)))
            done, errors = done + load.requests, errors + load.errors
            bar.update(load.requests)
            samples.append((done, memory(root)))
    time.sleep(1)
    settled = [(count, sample.rss) for count, sample in samples if count >= WARM_UP * requests]
    counts, sizes = np.array(settled).T
    slope = float(np.polyfit(counts, sizes, 1)[0]) if len(settled) > 1 else 0.0
    return Course(done, fresh, memory(root), slope * (counts[-1] - counts[0]) / float(sizes.mean()), errors)


def slope(full: bool) -> Outcome:
    """The tests' model of three colours: almost nothing but the server itself."""
    _require_wrk()
    with tempfile.TemporaryDirectory() as folder, bench_server() as bench:
        (Path(folder) / "0").write_bytes(RED)
        course = watch(bench, Path(folder), 1_000_000 if full else 20_000)
    return Outcome(_words(course), course.growth < MAX_GROWTH and not course.errors)


def resident(full: bool) -> Outcome:
    """A MobileNetV2 that is asked about photographs of its own input's size."""
    _require_wrk()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            bundle, home = train_on_trashnet(CACHE, folder)
        except FileNotFoundError as error:
            raise CannotBeMeasured(str(error)) from error
        bodies = folder / "bodies"
        bodies.mkdir()
        for number, photo in enumerate(make_photos((320, 240), [])):
            (bodies / str(number)).write_bytes(photo)
        with bench_server(bundle, home) as bench:
            course = watch(bench, bodies, 200_000 if full else 2_000)
    kept = max(course.fresh.pss, course.last.pss) < MAX_RESIDENT_MB and course.growth < MAX_GROWTH
    return Outcome(_words(course), kept and not course.errors)


def _words(course: Course) -> str:
    return (
        f"{course.requests:,} requests, {course.errors} failed; growth {course.growth:+.2%};"
        f" PSS {course.fresh.pss:.0f} MB fresh, {course.last.pss:.0f} MB after;"
        f" RSS {course.fresh.rss:.0f} and {course.last.rss:.0f} MB"
    )


def _require_wrk() -> None:
    try:
        require_wrk()
    except LoadError as error:
        raise CannotBeMeasured(str(error)) from error


PROMISES = (
    Promise("no_leak", "Resident memory grows by less than 1 % over a million requests after warm-up", slope),
    Promise(
        "resident", "Two workers with a MobileNetV2 hold less than 200 MB (PSS), flat over 200,000 requests", resident
    ),
)
