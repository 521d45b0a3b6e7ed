"""Memory that one web worker shares with one engine process: slots for images on the way in and scores on the way out.

Made by the worker as a memfd, which has no name that another program could open, and handed over with the model's LOAD;
it ends with the two processes, however they end. Sealed against a change of size, so that neither side can be killed by
a page that is gone. A slot belongs to the worker or to the engine at any moment; messages hand it over (`wire`). On top
of that each slot carries the number of the request it was filled for and of the one it was answered for, checked on
both sides.

A slot's memory is taken from the system only when it is first used.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.engines.process.wire import WireError
from server.engines.protocol import Scores

_ALIGNMENT = 4096
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
_ASKED, _ANSWERED = 0, 1


@dataclass(frozen=True, slots=True)
class ArenaShape:
    """slots: how many.  height, width: of an image in pixels.  labels: scores of an image."""

    slots: int
    height: int
    width: int
    labels: int

    @property
    def image_bytes(self) -> int:
        return self.height * self.width * 3

    @property
    def images_at(self) -> int:
        return _aligned(self.slots * 16)  # two 8-byte request numbers a slot come first

    @property
    def scores_at(self) -> int:
        return self.images_at + _aligned(self.slots * self.image_bytes)

    @property
    def bytes(self) -> int:
        return self.scores_at + _aligned(self.slots * 2 * self.labels * 4)


class Arena:
    """One mapping of it. images: (slots, H, W, 3) uint8.  scores: (slots, 2, C) float32, probabilities, then logits."""

    def __init__(self, fd: int, shape: ArenaShape) -> None:
        """Maps fd, which stays the caller's. Raises WireError where it is not an arena of this shape."""
        if os.fstat(fd).st_size != shape.bytes or fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
            raise WireError(f"arena: expected {shape.bytes} bytes, sealed; found {os.fstat(fd).st_size}")
        memory = mmap.mmap(fd, shape.bytes)
        self.shape = shape
        self._numbers = np.frombuffer(memory, np.uint64, shape.slots * 2).reshape(shape.slots, 2)
        self.images: NDArray[np.uint8] = np.frombuffer(
            memory, np.uint8, shape.slots * shape.image_bytes, shape.images_at
        ).reshape(shape.slots, shape.height, shape.width, 3)
        self.scores: NDArray[np.float32] = np.frombuffer(
            memory, np.float32, shape.slots * 2 * shape.labels, shape.scores_at
        ).reshape(shape.slots, 2, shape.labels)

    @staticmethod
    def create(shape: ArenaShape) -> int:
        """A new one's file descriptor."""
        fd = os.memfd_create("onsight-arena", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, shape.bytes)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS | fcntl.F_SEAL_SEAL)
        except BaseException:
            os.close(fd)
            raise
        return fd

    # ---- worker

    def fill(self, slots: Sequence[int], images: NDArray[np.uint8], request_id: int) -> None:
        """images: (len(slots), H, W, 3) uint8."""
        for slot, image in zip(slots, images, strict=True):
            self.images[slot] = image
            self._numbers[slot, _ASKED] = request_id

    def read(self, slots: Sequence[int], request_id: int, out: Scores) -> bool:
        """Copy the scores of a request that is DONE; False where they are another's, which cannot be."""
        probabilities, logits = out
        for at, slot in enumerate(slots):
            if int(self._numbers[slot, _ANSWERED]) != request_id:
                return False
            probabilities[at], logits[at] = self.scores[slot]
        return True

    # ---- engine

    def is_filled_for(self, slots: Sequence[int], request_id: int) -> bool:
        return all(slot < self.shape.slots and int(self._numbers[slot, _ASKED]) == request_id for slot in slots)

    def answer(self, slots: Sequence[int], request_id: int, scores: Scores) -> None:
        """scores: (len(slots), C) each."""
        probabilities, logits = scores
        for at, slot in enumerate(slots):
            self.scores[slot, 0] = probabilities[at]
            self.scores[slot, 1] = logits[at]
            self._numbers[slot, _ANSWERED] = request_id


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
