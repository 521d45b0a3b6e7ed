"""What all workers of one server must agree on: two flags in memory that is shared across fork.

`draining`: the server was told to stop; readiness says so while the port is still open.
`served`: some worker has finished loading. A later worker (a replacement) then loads before it takes its first
connection, so that no request waits for it while its siblings are able to answer.
"""

from __future__ import annotations

import mmap


class Lifecycle:
    """Create before forking; every process then sees the same flags. A flag is one byte and is only ever set."""

    def __init__(self) -> None:
        self._flags = mmap.mmap(-1, 2)  # anonymous and shared

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
