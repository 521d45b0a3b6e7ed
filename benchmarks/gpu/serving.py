"""What a GPU gives, and what the way through an engine process costs.

    python -m benchmarks.gpu.serving model.onsight

Measures CUDA and TensorRT, each: how long the first start takes (TensorRT builds its engine then) and the second; the
largest difference of a probability from the CPU's, by batch size; images/s of the engine alone, by batch size; one
image's time within the process and through the engine process; images/s through the engine process from several web
processes with several threads each, with one lane and with two. No HTTP, no decoding. Prints one JSON object, in which
a provider that cannot be used has its reason in place of figures. Ends with 2 where there is no GPU; `--provider cpu`
measures the way there alone.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bundle.home import OnsightHome
from bundle.load import load_bundle
from bundle.manifest import Manifest
from bundle.trust import TrustStore
from server.engines.device_probe import probe_devices
from server.engines.factory import EngineBuilder, EngineOptions
from server.engines.process.arrangement import EngineProcesses
from server.engines.process.batching import DEFAULT_BATCH_SIZES
from server.engines.process.options import HostOptions
from server.engines.process.staging import new_staging
from server.engines.protocol import Engine
from server.engines.providers import CPU, SHORT_NAMES
from server.errors import EngineError
from server.models.loader import choose_variant

SIZES = DEFAULT_BATCH_SIZES
PARITY_SIZES = (1, 2, 7, 32, SIZES[-1])
CACHE_BYTES = 10 * 1024**3
SLOTS = 128
ENGINE_TIMEOUT_S = 60.0
fork = multiprocessing.get_context("fork")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="the model to measure with")
    parser.add_argument(
        "--home", type=Path, default=Path("~/.onsight").expanduser(), help="the install that trusts it [%(default)s]"
    )
    parser.add_argument("--provider", action="append", choices=sorted(SHORT_NAMES), help="[cuda and tensorrt]")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement [%(default)s]")
    parser.add_argument(
        "--processes", type=int, default=max(1, min(8, (os.cpu_count() or 2) // 2)), help="web processes [%(default)s]"
    )
    parser.add_argument("--threads", type=int, default=16, help="of each web process [%(default)s]")
    chosen = parser.parse_args()
    names = chosen.provider or ["cuda", "tensorrt"]
    probe = probe_devices()
    if not probe.devices and names != ["cpu"]:
        print(f"expected an NVIDIA GPU, found {probe.reason}; --provider cpu measures the way there", file=sys.stderr)
        sys.exit(2)
    bundle = load_bundle(chosen.bundle, TrustStore(OnsightHome(chosen.home).trust_dir))
    model = bundle.manifest, bundle.files[choose_variant(bundle.manifest).file]
    result: dict[str, Any] = {"model": bundle.manifest.name, "cores": os.cpu_count(), "gpu": asdict(probe)}
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(*model, SHORT_NAMES[name], Path(folder), chosen.seconds)
            result[name] = bench.measure(chosen.processes, chosen.threads)
    print(json.dumps(result, indent=1))


class Apart:
    """A measurement in a process of its own: this one must never start a runtime, since it forks."""

    def __init__(self, measure: Callable[[], Any]) -> None:
        self._result, theirs = fork.Pipe(duplex=False)
        self._process = fork.Process(target=lambda: theirs.send(measure()))
        self._process.start()
        theirs.close()

    @property
    def is_over(self) -> bool:
        return self._result.poll()

    def result(self) -> Any:
        try:
            return self._result.recv()
        except EOFError:
            sys.exit("a measurement failed; see above")
        finally:
            self._result.close()
            self._process.join()


class Bench:
    """One provider. home: of the engine cache, empty at first."""

    def __init__(self, manifest: Manifest, graph: bytes, provider: str, home: Path, seconds: float) -> None:
        self._manifest = manifest
        self._graph = graph
        self._provider = provider
        self._home = home
        self._seconds = seconds

    def measure(self, processes: int, threads: int) -> dict[str, Any]:
        first = Apart(self.start).result()
        if "not_measured" in first:
            return dict(first)
        return {
            "first_start": first,
            "second_start": Apart(self.start).result(),
            "largest_difference": Apart(self.parity).result(),
            "engine_images_per_s": Apart(self.by_batch_size).result(),
            "one_image_ms": self.one_image(),
            "engine_process": {f"{lanes}_lanes": self.through_processes(lanes, processes, threads) for lanes in (1, 2)},
        }

    def start(self) -> dict[str, Any]:
        """Until the engine has answered once."""
        began = time.perf_counter()
        try:
            engine = self._open(self._provider)
            engine.infer(self._images(1))
        except EngineError as error:
            return {"not_measured": str(error)}
        return {"seconds": round(time.perf_counter() - began, 2), "device": engine.device, "library": engine.library}

    def parity(self) -> dict[str, float]:
        """By batch size; padded sizes included."""
        images = self._images(SIZES[-1])
        wanted, _ = self._open(CPU).infer(images)
        staging = self._staging()
        found = {}
        for count in PARITY_SIZES:
            staging.put(0, list(images[:count]))
            found[str(count)] = float(np.abs(staging.infer(count)[0] - wanted[:count]).max())
        return found

    def by_batch_size(self) -> dict[str, float]:
        """Copies to and from the device included."""
        staging = self._staging()
        staging.put(0, list(self._images(SIZES[-1])))
        found = {}
        for size in SIZES:
            for _ in range(3):
                staging.infer(size)
            runs, began = 0, time.perf_counter()
            while (passed := time.perf_counter() - began) < self._seconds / len(SIZES):
                staging.infer(size)
                runs += 1
            found[str(size)] = round(runs * size / passed, 1)
        return found

    def one_image(self) -> dict[str, float]:
        """Median within the process and through the engine process, in alternating rounds."""
        running = Running(self._host_options(lanes=1))

        def measure() -> dict[str, float]:
            engines = {"in_process": self._open(self._provider), "engine_process": self._remote(running)}
            image = self._images(1)
            times: dict[str, list[float]] = {name: [] for name in engines}
            for _ in range(8):
                for name, engine in engines.items():
                    times[name] += times_ms(engine, image, self._seconds / 16)
            found = {name: round(float(np.median(each)), 3) for name, each in times.items()}
            return found | {"difference": round(found["engine_process"] - found["in_process"], 3)}

        (found,) = running.run([measure])
        return dict(found)

    def through_processes(self, lanes: int, workers: int, threads: int) -> dict[str, float]:
        """From so many web processes with so many threads, each asking for one image at a time."""
        running = Running(self._host_options(lanes))

        def ask() -> int:
            engine = self._remote(running)
            image = self._images(1)
            counts = [0] * threads
            end = time.perf_counter() + self._seconds

            def client(number: int) -> None:
                while time.perf_counter() < end:
                    engine.infer(image)
                    counts[number] += 1

            clients = [threading.Thread(target=client, args=(number,)) for number in range(threads)]
            for each in clients:
                each.start()
            for each in clients:
                each.join()
            return sum(counts)

        counts = running.run([ask] * workers)
        return {
            "images_per_s": round(sum(counts) / self._seconds, 1),
            "images_per_batch": round(running.images_per_batch, 2),
        }

    def _open(self, provider: str) -> Engine:
        sizes = () if provider == CPU else SIZES
        options = EngineOptions((provider,), batch_sizes=sizes, home=self._home, engine_cache_bytes=CACHE_BYTES)
        return EngineBuilder(options).build(self._manifest, self._graph, lambda text: print(text, file=sys.stderr))

    def _staging(self) -> Any:
        return new_staging(self._open(self._provider), self._manifest, SIZES, fixed=self._provider != CPU)

    def _remote(self, running: Running) -> Engine:
        return running.processes.factory()(self._manifest, self._graph)

    def _host_options(self, lanes: int) -> HostOptions:
        return HostOptions(
            providers=(self._provider,), batch_sizes=() if self._provider == CPU else SIZES, lanes=lanes,
            log_level="warning", home=str(self._home), engine_cache_bytes=CACHE_BYTES,
        )  # fmt: skip

    def _images(self, count: int) -> Any:
        spec = self._manifest.preprocessing
        return np.random.default_rng(0).integers(0, 256, (count, spec.height, spec.width, 3), np.uint8)


def times_ms(engine: Engine, image: Any, seconds: float) -> list[float]:
    times, end = [], time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        engine.infer(image)
        times.append((time.perf_counter() - began) * 1e3)
    return times


class Running:
    """An engine process, and web processes that use it."""

    def __init__(self, options: HostOptions) -> None:
        self.processes = EngineProcesses(options, (0,), SLOTS, ENGINE_TIMEOUT_S, os.environ)
        self.images_per_batch = 0.0

    def run(self, jobs: list[Callable[[], Any]]) -> list[Any]:
        """Each job in a web process of its own; their results."""
        self.processes.start()
        measurements = [Apart(job) for job in jobs]
        while not all(each.is_over for each in measurements):
            self.processes.tend()
            time.sleep(0.05)
        results = [each.result() for each in measurements]
        (status,) = self.processes.status
        self.images_per_batch = status.images / max(status.batches, 1)
        self.processes.stop()
        return results


if __name__ == "__main__":
    main()
