"""The `Engine` seam: something that turns images into scores, wherever it runs. Knows no runtime and no file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bundle.manifest import Manifest
from server.errors import GraphMismatch

PROBABILITIES = "probabilities"
LOGITS = "logits"

Scores = tuple[NDArray[np.float32], NDArray[np.float32]]


class Engine(Protocol):
    """Something that turns images into scores. Safe to call from several threads at once."""

    @property
    def providers(self) -> tuple[str, ...]:
        """What really runs the model, most important first: names of `providers`, or of ONNX Runtime's."""

    @property
    def library(self) -> str:
        """Whose code that is, with its version: `ONNX Runtime 1.32.0`."""

    @property
    def device(self) -> str:
        """Where it runs: `CPU`, or the name of the board, like `NVIDIA L4`."""

    def infer(self, images: NDArray[np.uint8], deadline: float | None = None) -> Scores:
        """images: (N, H, W, 3) uint8 RGB, N at least 1. Returns probabilities (N, C) and logits (N, C), both float32.

        deadline: in seconds of `time.monotonic`, after which nobody waits for the answer any more; an engine that
        queues raises DeadlineExceeded then, and QueueFull where there is no room; one that does not may ignore it.
        """

    def warm_up(self) -> None:
        """Take the slow first runs before the first request does."""

    def close(self) -> None:
        """Give back what it holds (memory, a share of a process). Not called while an `infer` runs."""


Infer = Callable[[NDArray[np.uint8]], Scores]


class EngineFactory(Protocol):
    """Builds the engine of one model from its manifest and the verified bytes of its graph."""

    def __call__(self, manifest: Manifest, graph: bytes, /, *, private: bool = False) -> Engine:
        """private: the graph came encrypted: nothing made of it may be written to a disk."""


def is_ready(engine: Engine) -> bool:
    """Whether it would answer now: not while the process that it runs in is being started again."""
    return bool(getattr(engine, "ready", True))


def progress_of(engine: Engine) -> str:
    """How far it is with getting ready, where it is not."""
    return str(getattr(engine, "progress", ""))


def replicas_of(engine: Engine) -> tuple[Infer, ...]:
    """What answers for it, one for each device that runs it: each has its own answers to prove."""
    return tuple(getattr(engine, "replicas", (engine.infer,)))


def check_manifest_tensors(manifest: Manifest) -> None:
    """The manifest's tensors must be those that this server feeds and reads. Raises GraphMismatch."""
    spec, labels = manifest.preprocessing, len(manifest.labels)
    if manifest.input.dtype != "uint8" or manifest.input.shape != ("batch", spec.height, spec.width, 3):
        raise GraphMismatch(
            f"manifest: expected a uint8 input of shape ['batch', {spec.height}, {spec.width}, 3], found"
            f" {manifest.input.dtype} {list(manifest.input.shape)}. Export the bundle again."
        )
    outputs = {output.name: output for output in manifest.outputs}
    for name in (PROBABILITIES, LOGITS):
        output = outputs.get(name)
        if output is None or output.dtype != "float32" or output.shape != ("batch", labels):
            raise GraphMismatch(
                f"manifest: expected a float32 output {name!r} of shape ['batch', {labels}], found"
                f" {f'{output.dtype} {list(output.shape)}' if output else 'none'}. Export the bundle again."
            )
