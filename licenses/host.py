"""What tells one host from another: machine id, DMI UUID, GPU UUIDs, disk serials.

None of them is needed and none alone decides: containers come back with another machine id, GPUs are exchanged, virtual
disks have no serial. MAC addresses, host names and container ids change daily somewhere and are never looked at. The
values become salted hashes in `licenses.identity` before they are written or sent anywhere.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

KINDS: Final = ("machine-id", "dmi-uuid", "gpu-uuid", "disk-serial")
Factors = Mapping[str, tuple[str, ...]]
_GPU = re.compile(r"GPU-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_BLANK = frozenset("0f-x. ")  # of serials and UUIDs that a maker left empty
_VIRTUAL_DISKS = ("loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd")


def host_factors(root: Path = Path("/"), nvidia_smi: str | None = "nvidia-smi") -> dict[str, tuple[str, ...]]:
    """The kinds that this host shows to this process, with their values; never raises.

    root: where /etc, /sys and /proc are looked for. nvidia_smi: asked for GPUs where /proc has none.
    """
    machine_ids = [_text(root / "etc/machine-id") or _text(root / "var/lib/dbus/machine-id")]
    found = {
        "machine-id": machine_ids,
        "dmi-uuid": [_text(root / "sys/class/dmi/id/product_uuid")],
        "gpu-uuid": _gpus_in_proc(root) or _gpus_of(nvidia_smi),
        "disk-serial": _disks(root),
    }
    known = {kind: tuple(sorted({v for v in values if not set(v) <= _BLANK})) for kind, values in found.items()}
    return {kind: values for kind, values in known.items() if values}


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(4096).decode("ascii", "ignore").strip().lower()
    except OSError:  # not there, or for root alone
        return ""


def _gpus_in_proc(root: Path) -> list[str]:
    found: list[str] = []
    with contextlib.suppress(OSError):
        for path in sorted((root / "proc/driver/nvidia/gpus").glob("*/information")):
            found += _GPU.findall("GPU-" + _text(path).rpartition("gpu-")[2])
    return found


def _gpus_of(nvidia_smi: str | None) -> list[str]:
    program = nvidia_smi and shutil.which(nvidia_smi)
    if not program:
        return []
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = [program, "--query-gpu=uuid", "--format=csv,noheader"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)  # noqa: S603
        return _GPU.findall(answer.stdout)
    return []


def _disks(root: Path) -> list[str]:
    found: list[str] = []
    with contextlib.suppress(OSError):
        for disk in sorted((root / "sys/block").iterdir()):
            if not disk.name.startswith(_VIRTUAL_DISKS) and _text(disk / "removable") != "1":
                names = ("serial", "device/serial", "device/wwid", "wwid")
                found.append(next((value for name in names if (value := _text(disk / name))), ""))
    return found
