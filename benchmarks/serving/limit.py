"""The limit: decode and inference with nothing around them, in as many processes as there are cores.

`limit` decodes at full size (libjpeg-turbo) and resizes with Pillow, as a good engineer would and as the peers do;
`limit-scaled` takes Onsight's own `preprocess`, which decodes a JPEG at reduced scale. Photos are in memory. With fewer
requests at once than cores, that many processes work; more than cores cannot help, so nothing waits in a queue.

Run as a program it is the measured process: one JSON request a line on stdin, one JSON answer a line on stdout.
"""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.serving.contender import Contender, Setup, Skipped
from benchmarks.serving.load import Load
from benchmarks.serving.photos import Size

REPOSITORY = Path(__file__).parents[2]


LIMIT, SCALED_LIMIT = "limit", "limit-scaled"
SCALED_TOLERANCE = 0.25  # collages look like no training image: a little blur moves their scores a lot


class Limit(Contender):
    """No server. Started and measured like one."""

    _process: subprocess.Popen[str] | None = None
    _setup: Setup

    def __init__(self, scaled: bool = False) -> None:
        name, title = (SCALED_LIMIT, "limit, our decoding") if scaled else (LIMIT, "limit, no HTTP")
        super().__init__(name, title, LIMIT, SCALED_TOLERANCE)
        self._scaled = scaled

    def start(self, setup: Setup) -> None:
        self._setup = setup
        spec = setup.model.manifest.preprocessing.model_dump_json() if self._scaled else ""
        side = f"{setup.model.size[0]} {setup.model.size[1]}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.serving.limit", str(setup.cores), str(setup.model.onnx), side, spec],
            cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def probabilities(self, size: Size, number: int) -> list[float]:
        answer: list[float] = self._ask({"photo": str(self._setup.photos[size] / str(number))})
        return answer

    def load(self, size: Size, concurrency: int, seconds: float) -> Load:
        processes = min(concurrency, self._setup.cores)
        photos = str(self._setup.photos[size])
        figures = self._ask({"photos": photos, "processes": processes, "seconds": seconds})
        if concurrency > processes:  # what one image takes is not what one of many that wait would see
            figures |= {"mean_ms": None, "p50_ms": None, "p95_ms": None, "p99_ms": None, "max_ms": None}
        return Load(**figures, errors=0, client_cpu_s=0.0)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        if self._process is not None:
            self._process.communicate()  # closes its stdin: it ends
            self._process = None

    def _ask(self, question: dict[str, Any]) -> Any:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, so no answer comes either
        answer = self._process.stdout.readline()
        if not answer:
            raise Skipped(f"{self.name}: expected an answer, but its process ended")
        return json.loads(answer)


def work(link: Connection, model_path: str, side: str, spec_json: str) -> None:
    """One process of the limit: answers single photos, and runs through a folder of them for a while."""
    from benchmarks.serving.peers.plain import Plain  # not above: the parent stays as small as it can be
    from bundle.manifest import PreprocessSpec
    from bundle.preprocess import preprocess

    class Scaled(Plain):
        def decode(self, data: bytes) -> Any:
            return preprocess(data, spec)

    height, width = map(int, side.split())
    if spec_json:
        spec = PreprocessSpec.model_validate_json(spec_json)
    model = (Scaled if spec_json else Plain)(model_path, height, width)
    while True:
        try:
            question = link.recv()
        except EOFError:
            return
        if "photo" in question:
            link.send(model.predict(Path(question["photo"]).read_bytes()))
            continue
        folder = Path(question["photos"])
        photos = [path.read_bytes() for path in sorted(folder.iterdir())]
        for photo in photos[:3]:
            model.predict(photo)
        link.send("ready")
        until = link.recv()
        times, at, began = [], 0, time.monotonic()
        while began < until:
            model.predict(photos[at % len(photos)])
            ended = time.monotonic()
            times.append((ended - began) * 1000)
            at, began = at + 1, ended
        link.send(times)


def serve(processes: int, *model: str) -> None:
    """Answer questions from stdin until it is closed."""
    fork = multiprocessing.get_context("fork")
    links = []
    for _ in range(processes):
        ours, theirs = fork.Pipe()
        fork.Process(target=work, args=(theirs, *model), daemon=True).start()
        theirs.close()
        links.append(ours)
    for line in sys.stdin:
        question = json.loads(line)
        if "photo" in question:
            links[0].send(question)
            answer = links[0].recv()
        else:
            answer = run(links[: question["processes"]], question)
        print(json.dumps(answer), flush=True)


def run(links: list[Connection], question: dict[str, Any]) -> dict[str, float]:
    import numpy as np

    for link in links:
        link.send(question)
    for link in links:
        assert link.recv() == "ready"
    began = time.monotonic()
    for link in links:
        link.send(began + question["seconds"])
    times = np.concatenate([link.recv() for link in links])
    p50, p95, p99 = np.percentile(times, [50, 95, 99])
    return {
        "requests": len(times),
        "seconds": time.monotonic() - began,
        "mean_ms": float(times.mean()),
        "p50_ms": float(p50),
        "p95_ms": float(p95),
        "p99_ms": float(p99),
        "max_ms": float(times.max()),
    }


if __name__ == "__main__":
    serve(int(sys.argv[1]), *sys.argv[2:])
