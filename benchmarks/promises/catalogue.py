"""All promises of serving and of bundles, in the order of the table."""

from __future__ import annotations

from benchmarks.promises import (
    bad_input,
    bounded_queue,
    crash_recovery,
    disk_full,
    graceful_stop,
    hot_reload,
    memory,
    no_network,
    slow_clients,
    tampering,
)

PROMISES = (
    *hot_reload.PROMISES,
    graceful_stop.PROMISE,
    bounded_queue.PROMISE,
    crash_recovery.PROMISE,
    disk_full.PROMISE,
    *slow_clients.PROMISES,
    bad_input.PROMISE,
    no_network.PROMISE,
    *memory.PROMISES,
    *tampering.PROMISES,
)
