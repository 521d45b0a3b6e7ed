"""Where a batch is gathered: one contiguous block of images of the engine's own, filled while another batch runs.

An engine that wants its batches elsewhere (pinned memory, a device's memory, an IO binding) offers `new_staging`; any
other gets a plain block of host memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bundle.manifest import Manifest
from server.engines.process.batching import padded_size
from server.engines.protocol import Engine, Scores


class Staging(Protocol):
    """One batch's place. Filled by one thread, then run by another; never both at once."""

    def put(self, at: int, images: Sequence[NDArray[np.uint8]]) -> None:
        """Copy images, each (H, W, 3) uint8, to the places from `at` on."""

    def infer(self, count: int) -> Scores:
        """Run the first count images. Returns probabilities and logits of (count, C), which the next call may reuse."""


@runtime_checkable
class StagingEngine(Protocol):
    """What an engine that brings its own staging has beside the methods of Engine."""

    def new_staging(self, sizes: Sequence[int]) -> Staging:
        """sizes: the batch sizes that it shall run, ascending; the last is the room it needs."""


class HostStaging:
    """A block of host memory. sizes: fixed batch sizes to pad to; empty: each batch runs as large as it is.

    Padding holds images of earlier batches: any finite input does, since no row of a graph sees another.
    """

    def __init__(self, engine: Engine, manifest: Manifest, room: int, sizes: Sequence[int]) -> None:
        spec = manifest.preprocessing
        self._engine = engine
        self._sizes = tuple(sizes)
        self._images = np.zeros((room, spec.height, spec.width, 3), np.uint8)

    def put(self, at: int, images: Sequence[NDArray[np.uint8]]) -> None:
        for offset, image in enumerate(images):
            self._images[at + offset] = image

    def infer(self, count: int) -> Scores:
        probabilities, logits = self._engine.infer(self._images[: padded_size(count, self._sizes)])
        return probabilities[:count], logits[:count]


def new_staging(engine: Engine, manifest: Manifest, sizes: Sequence[int], *, fixed: bool) -> Staging:
    """A place for batches of up to sizes[-1] images. fixed: run no other sizes than these."""
    if fixed and isinstance(engine, StagingEngine):
        return engine.new_staging(sizes)
    return HostStaging(engine, manifest, sizes[-1], sizes if fixed else ())
