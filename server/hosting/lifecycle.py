"""What all workers of one server must agree on: two flags and a counter in memory that is shared across fork.

`draining`: the server was told to stop; readiness says so while the port is still open.
`served`: some worker has finished loading. A later worker (a replacement) then loads before it takes its first
connection, so that no request waits for it while its siblings are able to answer.
`generation`: raised by whoever wants all workers to look at the models folder at once.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading

_COUNTER = struct.Struct("<I")


class Lifecycle:
    """Create before forking; every process then sees the same flags. A flag is one byte and is only ever set."""

    def __init__(self) -> None:
        self._flags = mmap.mmap(-1, 8)  # anonymous and shared: two flags, two unused, the counter
        self._lock_file = os.memfd_create("onsight-generation")
        self._lock = threading.Lock()  # a file's lock keeps out other processes, not other threads

    @property
    def draining(self) -> bool:
        return self._flags[0] != 0

    def start_draining(self) -> None:
        self._flags[0] = 1

    @property
    def served(self) -> bool:
        return self._flags[1] != 0

    def mark_served(self) -> None:
        self._flags[1] = 1

    @property
    def generation(self) -> int:
        return int(_COUNTER.unpack_from(self._flags, 4)[0])

    def raise_generation(self) -> int:
        """The new value. Do what it announces before calling."""
        with self._lock:
            fcntl.lockf(self._lock_file, fcntl.LOCK_EX)
            try:
                generation = self.generation + 1
                _COUNTER.pack_into(self._flags, 4, generation)
                return generation
            finally:
                fcntl.lockf(self._lock_file, fcntl.LOCK_UN)
