"""How many cores this process may really use: the affinity mask and the container's quota, whichever is smaller."""

from __future__ import annotations

import os
from pathlib import Path

CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores(quota_file: Path = CGROUP_QUOTA) -> int:
    """Cores for this process, at least 1. quota_file: cgroup v2 `cpu.max`, "quota period" in microseconds."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = quota_file.read_text().split()
        if quota != "max":
            cores = min(cores, round(int(quota) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        pass  # no quota, or not one that we can read: the mask alone decides
    return max(1, cores)
