"""Real engine processes on the CPU, and in them engines that can be told to be slow, to hang and to die."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from color_bundle import LABELS, SIDE, color_graph, make_manifest, run_graph
from numpy.typing import NDArray

from bundle.manifest import Manifest
from bundle.pack import describe_files
from server.engines.onnx_runtime import OnnxRuntimeEngine, OnnxRuntimeOptions
from server.engines.process import remote_model
from server.engines.process.arrangement import EngineProcesses
from server.engines.process.options import HostedFactory, HostOptions
from server.engines.process.pulse import EngineState
from server.engines.process.remote_engine import RemoteEngine
from server.engines.protocol import Scores

Images = NDArray[np.uint8]

# The first pixel of an image commands; no random image of these tests has one of these.
DIE, HANG, RAISE, SLOW = (0, 0, 1), (0, 0, 2), (0, 0, 3), (0, 0, 4)
SLOW_S = 0.6


def random_images(count: int, seed: int = 0) -> Images:
    """(count, SIDE, SIDE, 3): each of another mean colour, so that no two have the same scores."""
    random = np.random.default_rng(seed)
    base = random.integers(0, 200, (count, 1, 1, 3), np.uint8)
    images: Images = base + random.integers(10, 50, (count, SIDE, SIDE, 3), np.uint8)
    return images


def commanding(image: Images, command: tuple[int, int, int]) -> Images:
    """A copy that commands."""
    image = image.copy()
    image[0, 0] = command
    return image


def color_manifest(name: str = "colours", graph: bytes | None = None) -> Manifest:
    files = {"model.onnx": graph or color_graph(), "golden.npz": b"none", "card.md": b"none"}
    return make_manifest(files["model.onnx"], describe_files(files), name, "1")


class ObedientEngine:
    """Runs in the engine process. Does what the first pixels say, then what ONNX Runtime says."""

    def __init__(self, manifest: Manifest, graph: bytes, max_batch: int) -> None:
        self._engine = OnnxRuntimeEngine(manifest, graph, OnnxRuntimeOptions(max_batch=max_batch))
        self.providers = self._engine.providers
        self.library, self.device = self._engine.library, self._engine.device

    def infer(self, images: Images, deadline: float | None = None) -> Scores:
        commands = {tuple(int(value) for value in image[0, 0]) for image in images}
        if DIE in commands:
            os.kill(os.getpid(), signal.SIGKILL)
        if HANG in commands:
            time.sleep(1000)
        if SLOW in commands:
            time.sleep(SLOW_S)
        if RAISE in commands:
            raise RuntimeError("as it was told")
        return self._engine.infer(images)

    def warm_up(self) -> None:
        pass

    def close(self) -> None:
        self._engine.close()


def obedient_builder(options: HostOptions) -> HostedFactory:
    def build(
        manifest: Manifest, graph: bytes, progress: Callable[[str], None], *, private: bool = False
    ) -> ObedientEngine:
        progress("building")
        if manifest.name == "deadly":
            os.kill(os.getpid(), signal.SIGKILL)
        return ObedientEngine(manifest, graph, max(options.batch_sizes or (1,)))

    return build


class LyingEngine(ObedientEngine):
    def infer(self, images: Images, deadline: float | None = None) -> Scores:
        probabilities, logits = super().infer(images)
        return probabilities[:, ::-1], logits


def builder_of_a_liar(options: HostOptions) -> HostedFactory:
    """Device 1 answers wrongly."""
    kind = LyingEngine if options.device == 1 else ObedientEngine
    largest = max(options.batch_sizes or (1,))
    return lambda manifest, graph, progress, *, private=False: kind(manifest, graph, largest)


@dataclass
class Rig:
    processes: EngineProcesses

    def load(self, graph: bytes | None = None, name: str = "colours") -> RemoteEngine:
        graph = graph or color_graph()
        engine = self.processes.factory()(color_manifest(name, graph), graph)
        assert isinstance(engine, RemoteEngine)
        return engine

    @property
    def pid(self) -> int:
        return self.processes.status[0].pid

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not within {seconds} s: {what}; {self.processes.status}"
            time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL, and wait until the next process runs."""
        restarts = self.processes.status[0].restarts
        os.kill(self.pid, signal.SIGKILL)
        self.wait(
            lambda: (
                self.processes.status[0].restarts > restarts and self.processes.status[0].state is EngineState.RUNNING
            ),
            "the next process runs",
        )


@contextmanager
def engine_rig(
    *, devices: tuple[int, ...] = (0,), slots: int = 64, timeout_s: float = 10.0,
    batch_sizes: tuple[int, ...] = (1, 8, 32), lanes: int = 1, builder: str = "engine_rig:obedient_builder",
    providers: tuple[str, ...] = ("CPUExecutionProvider",), home: Path | None = None, room_wait_s: float = 60.0,
) -> Iterator[Rig]:  # fmt: skip
    """room_wait_s: how long images wait for a slot; so long that only who asks for less sees a full queue."""
    options = HostOptions(
        providers=providers, batch_sizes=batch_sizes, lanes=lanes, builder=builder,
        home=None if home is None else str(home), engine_cache_bytes=1 << 30,
    )  # fmt: skip
    processes = EngineProcesses(options, devices, slots, timeout_s, os.environ)
    over = threading.Event()
    started = threading.Event()

    def tend() -> None:  # the kernel ends an engine process with the thread that started it
        processes.start()
        started.set()
        while not over.wait(0.01):
            processes.tend()

    thread = threading.Thread(target=tend)
    thread.start()
    started.wait()
    waits_s, remote_model.ROOM_WAIT_S = remote_model.ROOM_WAIT_S, room_wait_s
    try:
        yield Rig(processes)
    finally:
        remote_model.ROOM_WAIT_S = waits_s
        over.set()
        thread.join()
        processes.stop()


def expected_scores(images: Images, graph: bytes | None = None) -> Scores:
    return run_graph(graph or color_graph(), images)


def check_scores(found: Scores, wanted: Scores) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape == (len(other), len(LABELS))
        np.testing.assert_allclose(one, other, atol=1e-6)
