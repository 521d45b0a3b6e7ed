"""All promises of serving, in the order of the table."""

from __future__ import annotations

from benchmarks.promises import memory

PROMISES = (*memory.PROMISES,)
