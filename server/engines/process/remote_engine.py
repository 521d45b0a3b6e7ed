"""The Engine of a web worker whose models run in engine processes: one a device, the least busy gets the next images.

When an engine process ends with a request in it, the request is asked once more, within its time, of another or of the
next process: inference has no effects, so nobody sees it but by its duration. Once only, and then in a batch of its
own: should these very images be what ended the process, they take no others with them.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bundle.manifest import Manifest
from server.engines.process.link import EngineLost, Link
from server.engines.process.package import create_package
from server.engines.process.pulse import EngineState
from server.engines.process.remote_model import Package, Phase, RemoteModel, Runtime, expired, moment_of
from server.engines.protocol import Infer, Scores
from server.engines.providers import CPU
from server.errors import EngineError, EngineRestarting

# A call that names no deadline (golden replay, warm-up) waits no longer than this.
LONGEST_WAIT_S = 120.0
ATTEMPTS = 2


class RemoteEngine:
    """Loads the model on every link; waits until one has it, or all have failed.

    slots: images of this worker that may be at each engine process at once.  load_timeout_s: for loading.
    progress: told how far loading is.  private: see EngineFactory.  Raises EngineError.
    """

    def __init__(
        self, manifest: Manifest, graph: bytes, links: Sequence[Link], slots: int, load_timeout_s: float,
        progress: Callable[[str], None] = lambda text: None, *, private: bool = False,
    ) -> None:  # fmt: skip
        self._manifest = manifest
        self._turn = itertools.count()
        self._changed = threading.Condition()
        self._package = Package(manifest, *create_package(manifest, graph, private=private))
        self._models = [RemoteModel(link, self._package, slots, self._changed) for link in links]
        try:
            self._wait_until_loaded(time.monotonic() + load_timeout_s, progress)
        except BaseException:
            self.close()
            raise

    @property
    def providers(self) -> tuple[str, ...]:
        """What runs the model; all that do, where devices differ."""
        return tuple(dict.fromkeys(name for runtime in self._runtimes for name in runtime.providers))

    @property
    def library(self) -> str:
        return ", ".join(dict.fromkeys(runtime.library for runtime in self._runtimes))

    @property
    def device(self) -> str:
        return ", ".join(dict.fromkeys(runtime.device for runtime in self._runtimes))

    @property
    def _runtimes(self) -> list[Runtime]:
        """Of each process that has loaded it, those that run it on a CPU first: these are worth a look."""
        found = [model.runtime for model in self._models if model.runtime is not None]
        return sorted(found, key=lambda runtime: runtime.providers[0] != CPU)

    @property
    def ready(self) -> bool:
        """Whether a request would be answered now."""
        return any(model.standing.phase is Phase.READY for model in self._models)

    @property
    def progress(self) -> str:
        """How far loading is, where it is not ready."""
        return ", ".join(sorted({model.standing.progress for model in self._models}))

    def infer(self, images: NDArray[np.uint8], deadline: float | None = None) -> Scores:
        until = moment_of(deadline, LONGEST_WAIT_S)
        for attempt in range(ATTEMPTS):
            model = self._choose(until)
            try:
                return model.infer(images, until, alone=attempt > 0)
            except EngineLost:
                continue
        raise EngineRestarting("The model's process ended twice while it had this request. Try again in a moment.")

    @property
    def replicas(self) -> tuple[Infer, ...]:
        """`infer` on each device that has loaded it."""
        ready = [model for model in self._models if model.standing.phase is Phase.READY]
        return tuple(partial(self._infer_on, model) for model in ready) or (self.infer,)

    def _infer_on(self, model: RemoteModel, images: NDArray[np.uint8]) -> Scores:
        try:
            return model.infer(images, moment_of(None, LONGEST_WAIT_S), alone=False)
        except EngineLost:
            raise EngineRestarting("The model's process ended while it proved itself. It is tried again.") from None

    def warm_up(self) -> None:
        """The engine process warms itself up; this takes the way there once."""
        spec = self._manifest.preprocessing
        self.infer(np.zeros((1, spec.height, spec.width, 3), np.uint8))

    def close(self) -> None:
        for model in self._models:
            model.close()
        self._package.close()

    def _choose(self, until: float) -> RemoteModel:
        """The least busy model that is ready; waits for one while a process is being started."""
        while True:
            ready = [model for model in self._models if model.standing.phase is Phase.READY]
            if len(ready) == 1:
                return ready[0]
            if ready:
                turn = next(self._turn)
                order = ready[turn % len(ready) :] + ready[: turn % len(ready)]
                return min(order, key=lambda model: model.pending)
            with self._changed:
                standings = [model.standing for model in self._models]
                if any(standing.phase is Phase.READY for standing in standings):
                    continue
                error = next((standing.error for standing in standings if standing.error), None)
                if error is not None and all(standing.phase is Phase.FAILED for standing in standings):
                    raise EngineError(str(error))
                if all(model.link.pulse.state is EngineState.BACKING_OFF for model in self._models):
                    raise EngineRestarting("The model's process fails to start and is tried again. Try again later.")
                left = until - time.monotonic()
                if left <= 0:
                    raise expired()
                self._changed.wait(min(left, 0.5))  # the state of the processes has no bell

    def _wait_until_loaded(self, until: float, progress: Callable[[str], None]) -> None:
        said = ""
        with self._changed:
            while True:
                standings = [model.standing for model in self._models]
                if all(standing.phase is not Phase.LOADING for standing in standings):
                    break
                if self.progress != said:
                    said = self.progress
                    progress(said)
                left = until - time.monotonic()
                if left <= 0:
                    raise EngineError(
                        f"graph: expected it to load in time, found it still at: {self.progress}. See the log of the"
                        " engine process."
                    )
                self._changed.wait(left)
        if not self.ready:
            raise next(standing.error for standing in standings if standing.error)
