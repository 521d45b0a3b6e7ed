"""What was measured on and with: the machine, and the versions of everything that answered."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import distributions, version
from pathlib import Path

from bundle.cores import usable_cores

INT8_FLAGS = ("avx512_vnni", "avx_vnni", "amx_int8")
PACKAGES = ("fastapi", "uvicorn", "litserve", "bentoml", "mlserver", "nvidia-pytriton", "onnxruntime")
LIBRARIES = ("onnxruntime", "onnxruntime-gpu", "numpy", "pillow", "simplejpeg", "gunicorn", "flask")


def machine_facts() -> dict[str, str]:
    """Name of a fact -> its text, for people."""
    cpu, flags = read_cpuinfo(Path("/proc/cpuinfo").read_text())
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {
        "CPU": cpu,
        "cores": str(usable_cores()),
        "int8 instructions": ", ".join(flag for flag in INT8_FLAGS if flag in flags) or "none",
        "memory": f"{memory_gb:.0f} GB",
        "kernel": platform.release(),
        "Python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES if any(distributions(name=name))},
        "wrk": wrk_version(),
    }


def read_cpuinfo(text: str) -> tuple[str, set[str]]:
    """Name, and flags, of the first processor; a name that says little is followed by its family and model."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    family, model = fields.get("cpu family", "?"), fields.get("model", "?")
    return f"{fields.get('model name', platform.machine())} (family {family}, model {model})", set(
        fields.get("flags", "").split()
    )


def pinned(pins: Path) -> str:
    """`fastapi 0.165.0, uvicorn 0.54.0`: what matters of a file of pins."""
    found = dict(re.findall(r"^([\w.-]+)==(\S+)", pins.read_text(), re.MULTILINE))
    return ", ".join(f"{name} {found[name]}" for name in PACKAGES if name in found)


def wrk_version() -> str:
    said = subprocess.run(["wrk", "--version"], capture_output=True, text=True)
    return (said.stdout + said.stderr).removeprefix("wrk ").split(" ", 1)[0]
