"""What a client gets of a GPU: requests a second and their times over HTTP, beside the same work without HTTP.

    python -m benchmarks.gpu.over_http model.onsight --photos photos/

Takes each provider and each precision in turn. First without HTTP: as many processes as there are cores, each with as
many threads as a worker of the server, decode photos and ask the engine process. Then `onsight serve`, by its default
settings but for provider and precision, under wrk at several numbers of requests at once. Both get the same JPEGs,
made of the photos. What cannot run is told with its reason. Prints a table, and with --out writes JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.gpu.serving import CACHE_BYTES, SIZES, Running
from benchmarks.serving.accounting import cpu_seconds
from benchmarks.serving.contender import Setup, Skipped
from benchmarks.serving.load import Load, require_wrk
from benchmarks.serving.machine import machine_facts
from benchmarks.serving.model import open_model
from benchmarks.serving.ours import Onsight
from benchmarks.serving.photos import make_photos, parse_size
from bundle.cores import usable_cores
from bundle.load import Bundle, load_bundle
from bundle.manifest import Variant
from bundle.preprocess import preprocess
from bundle.trust import TrustStore
from server.engines.device_probe import probe_devices
from server.engines.process.arrangement import default_lanes
from server.engines.process.options import HostOptions
from server.engines.providers import SHORT_NAMES
from server.settings import ServerSettings

Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
FIRST_START_S = 900.0
WARM_UP_S = 2.0


@dataclass(frozen=True)
class Served:
    """Under so many requests at once. cpu_ms: the server's CPU time a request, on all cores."""

    concurrency: int
    per_second: float
    p50_ms: float | None
    p99_ms: float | None
    errors: int
    cpu_ms: float


@dataclass(frozen=True)
class Outcome:
    """Of one provider and precision. limit_per_second: the same without HTTP.  error: why there is nothing."""

    provider: str
    precision: str
    limit_per_second: float | None = None
    images_per_batch: float | None = None
    start_s: float | None = None
    served: tuple[Served, ...] = ()
    error: str | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="exported with --variants gpu")
    parser.add_argument("--photos", type=Path, required=True, help="folder of JPEGs, 64 or more")
    parser.add_argument(
        "--home", type=Path, default=Path("~/.onsight").expanduser(), help="the install that trusts it [%(default)s]"
    )
    parser.add_argument("--provider", action="append", choices=sorted(SHORT_NAMES), help="[cuda and tensorrt]")
    parser.add_argument("--precision", action="append", choices=PRECISIONS, help="[all that the bundle has]")
    parser.add_argument("--concurrency", default="1,8,32,64", help="requests at once [%(default)s]")
    parser.add_argument("--size", default="640x480", help="of the photos [%(default)s]")
    parser.add_argument("--seconds", type=int, default=4, help="of each measurement [%(default)s]")
    parser.add_argument("--out", type=Path, help="file for the figures as JSON")
    chosen = parser.parse_args()
    require_wrk()
    names = chosen.provider or ["cuda", "tensorrt"]
    probe = probe_devices()
    if not probe.devices and names != ["cpu"]:
        print(f"expected an NVIDIA GPU, found {probe.reason}; --provider cpu tries the way there", file=sys.stderr)
        sys.exit(2)
    with tempfile.TemporaryDirectory() as folder:
        setup = prepare(chosen.bundle, chosen.home, chosen.photos, chosen.size, Path(folder))
        bench = Bench(setup, chosen.seconds, [int(number) for number in chosen.concurrency.split(",")])
        outcomes = [outcome for name in names for outcome in bench.outcomes(name, chosen.precision or list(PRECISIONS))]
    facts = {"gpu": asdict(probe), "machine": machine_facts(), "size": chosen.size}
    print(table(outcomes))
    if chosen.out:
        chosen.out.write_text(json.dumps({**facts, "outcomes": [asdict(each) for each in outcomes]}, indent=1) + "\n")


def prepare(bundle: Path, home: Path, photos: Path, size: str, work: Path) -> Setup:
    """Photos of this size in a folder, made of those there are."""
    made = work / "photos"
    made.mkdir()
    for number, photo in enumerate(make_photos(parse_size(size), sorted(photos.rglob("*.jpg")))):
        (made / str(number)).write_bytes(photo)
    return Setup(open_model(bundle, home, work), {parse_size(size): made}, work, work, usable_cores())


class Bench:
    """setup: with photos of one size."""

    def __init__(self, setup: Setup, seconds: int, concurrency: Sequence[int]) -> None:
        self._setup = setup
        ((self._size, self._folder),) = setup.photos.items()
        self._seconds = seconds
        self._concurrency = concurrency
        self._bundle: Bundle = load_bundle(setup.model.bundle, TrustStore(setup.model.home / "trust"))

    def outcomes(self, name: str, precisions: Sequence[Precision]) -> Iterator[Outcome]:
        """name: of a provider, as settings have it."""
        for variant in self._bundle.manifest.variants:
            if variant.precision in precisions and (not variant.runtimes or SHORT_NAMES[name] in variant.runtimes):
                print(f"{name}, {variant.name}", file=sys.stderr)
                yield self._measure(name, variant)

    def _measure(self, name: str, variant: Variant) -> Outcome:
        settings = {"ONSIGHT_PROVIDERS": name, "ONSIGHT_ARRANGEMENT": "engine_process"}
        contender = Onsight(f"{name}-{variant.precision}", name, variant.precision, settings)
        contender.answer_within_s = FIRST_START_S
        try:
            limit, per_batch = self._without_http(SHORT_NAMES[name], variant)
            began = time.monotonic()
            contender.start(self._setup)
            start_s = time.monotonic() - began
            contender.load(self._size, max(self._concurrency), WARM_UP_S)
            served = tuple(self._served(contender, number) for number in self._concurrency)
        except Skipped as error:
            return Outcome(name, variant.precision, error=str(error))
        finally:
            contender.stop()
        return Outcome(name, variant.precision, limit, per_batch, start_s, served)

    def _served(self, contender: Onsight, concurrency: int) -> Served:
        before = cpu_seconds(contender.pid)
        load: Load = contender.load(self._size, concurrency, self._seconds)
        cpu_ms = (cpu_seconds(contender.pid) - before) / max(load.requests, 1) * 1000
        return Served(concurrency, load.per_second, load.p50_ms, load.p99_ms, load.errors, cpu_ms)

    def _without_http(self, provider: str, variant: Variant) -> tuple[float, float]:
        """Photos a second, decoded and answered through an engine process as a server has it; images in a batch."""
        settings = ServerSettings(providers=(provider,), arrangement="engine_process")
        options = HostOptions(
            providers=(provider,), batch_sizes=SIZES, lanes=default_lanes((provider,)), log_level="warning",
            home=str(self._setup.work / "home"), engine_cache_bytes=CACHE_BYTES,
        )  # fmt: skip
        running = Running(options)
        threads, manifest = settings.thread_count, self._bundle.manifest
        photos = [path.read_bytes() for path in sorted(self._folder.iterdir())]

        def work() -> tuple[int, float]:
            engine: Any = running.processes.factory()(manifest, self._bundle.files[variant.file])
            counts = [0] * threads
            began = time.monotonic()

            def client(number: int) -> None:
                for photo in itertools.islice(itertools.cycle(photos), number, None):
                    if time.monotonic() - began >= self._seconds:
                        return
                    engine.infer(preprocess(photo, manifest.preprocessing)[None])
                    counts[number] += 1

            clients = [threading.Thread(target=client, args=(number,)) for number in range(threads)]
            for each in clients:
                each.start()
            for each in clients:
                each.join()
            return sum(counts), time.monotonic() - began

        found = running.run([work] * self._setup.cores)
        return sum(count / seconds for count, seconds in found), running.images_per_batch


def table(outcomes: Sequence[Outcome]) -> str:
    """Markdown."""
    lines = ["| provider | precision | no HTTP | at once | requests/s | of it | p50 ms | p99 ms | CPU ms | errors |"]
    lines.append("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for each in outcomes:
        if each.error is not None:
            lines.append(f"| {each.provider} | {each.precision} | {each.error} | | | | | | | |")
        for row in each.served:
            assert each.limit_per_second is not None
            share = row.per_second / each.limit_per_second
            lines.append(
                f"| {each.provider} | {each.precision} | {each.limit_per_second:,.0f} | {row.concurrency}"
                f" | {row.per_second:,.0f} | {share:.2f} | {_ms(row.p50_ms)} | {_ms(row.p99_ms)} | {row.cpu_ms:.2f}"
                f" | {row.errors} |"
            )
    return "\n".join(lines)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


if __name__ == "__main__":
    main()
