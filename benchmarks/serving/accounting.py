"""What a server's processes cost: CPU time and memory of a whole process tree, read from /proc."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Memory:
    """Megabytes (10^6 bytes). pss: shared pages counted once.  rss: the sum over processes, shared pages counted in
    each.  peak_rss: the sum of each process's highest ever, which need not have been at one time.
    """

    pss: float
    rss: float
    peak_rss: float


@dataclass(frozen=True)
class _Stat:
    parent: int
    session: int
    cpu_s: float


def _stat(pid: int) -> _Stat | None:
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # from the state on; the name before may hold anything
    ticks = sum(int(fields[place]) for place in (11, 12, 13, 14))  # own and those of children that were waited for
    return _Stat(int(fields[1]), int(fields[3]), ticks * _TICK_S)


def process_tree(root: int) -> list[int]:
    """The process, everything that descends from it, and everything of the session that it leads."""
    stats = {int(path.name): _stat(int(path.name)) for path in PROC.iterdir() if path.name.isdigit()}
    children = defaultdict(list)
    for pid, stat in stats.items():
        if stat is not None:
            children[stat.parent].append(pid)
    found = {pid for pid, stat in stats.items() if stat is not None and stat.session == root} | {root}
    waiting = list(found)
    while waiting:
        for child in children[waiting.pop()]:
            if child not in found:
                found.add(child)
                waiting.append(child)
    return sorted(found)


def cpu_seconds(root: int) -> float:
    """User and system time of the tree so far, its ended children's included."""
    return sum(stat.cpu_s for pid in process_tree(root) if (stat := _stat(pid)) is not None)


def memory(root: int) -> Memory:
    """Of the tree, now."""
    pss = rss = peak = 0
    for pid in process_tree(root):
        try:
            sizes = _kilobytes(PROC / str(pid) / "smaps_rollup")
            status = _kilobytes(PROC / str(pid) / "status")
        except OSError:
            continue  # it has just ended
        pss, rss, peak = pss + sizes.get("Pss", 0), rss + sizes.get("Rss", 0), peak + status.get("VmHWM", 0)
    return Memory(*(kilobytes * 1024 / 1e6 for kilobytes in (pss, rss, peak)))


def _kilobytes(path: Path) -> dict[str, int]:
    rows = (line.split() for line in path.read_text().splitlines())
    return {row[0].rstrip(":"): int(row[1]) for row in rows if len(row) == 3 and row[2] == "kB"}


def machine_busy_seconds() -> float:
    """CPU time that was not idle, of all processes on all cores since boot; what the hypervisor took included."""
    ticks = [int(value) for value in (PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) * _TICK_S
