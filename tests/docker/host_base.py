"""A base image of this machine's own Python, shell and libraries: what `python:3.11-slim` is, without a download."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

LEFT_OUT = ("site-packages", "dist-packages", "__pycache__", "test", "tests", "config-*", "*.a")
TOOLS = ("sh", "ls", "mkdir", "chown", "chmod", "ln")
BESIDE_WHEELS = (  # manylinux expects them of every system
    "libstdc++.so.6", "libgcc_s.so.1", "libz.so.1", "libm.so.6", "librt.so.1", "libpthread.so.0", "libdl.so.2",
)  # fmt: skip
LIBRARY = re.compile(r"(/\S+) \(0x")


def make_host_base(root: Path) -> None:
    """Fill the folder `root` with a root file system in which `python3 -m venv` and `/bin/sh` work."""
    python = root / "usr/local"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    standard = Path(sys.base_prefix) / "lib" / version
    ignore = shutil.ignore_patterns(*LEFT_OUT)
    shutil.copytree(standard, python / "lib" / version, symlinks=True, ignore=ignore)
    (python / "bin").mkdir(parents=True)
    shutil.copy2(Path(sys.base_prefix) / "bin" / version, python / "bin" / version)
    (python / "bin/python3").symlink_to(version)
    wheels = Path("/usr/share/python-wheels")  # where Debian's own Python keeps pip
    if wheels.is_dir():
        shutil.copytree(wheels, root / wheels.relative_to("/"))
    tools = [Path(found) for tool in TOOLS if (found := shutil.which(tool))]
    for tool in tools:
        _copy(tool, root / "bin" / tool.name)
    extensions = (standard / "lib-dynload").glob("*.so")
    for library in _libraries([python / "bin" / version, *tools, *extensions]) | _named(BESIDE_WHEELS):
        _copy(library, root / library.relative_to("/"))
    for folder in ("etc", "tmp", "proc", "dev", "sys", "var", "run"):
        (root / folder).mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    (root / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copy2(source, target)


def _libraries(files: Iterable[Path]) -> set[Path]:
    """Everything that the dynamic loader would load for them, the loader included."""
    listed = subprocess.run(["ldd", *files], capture_output=True, text=True, check=False).stdout
    return {Path(match[1]) for match in LIBRARY.finditer(listed)}


def _named(names: Iterable[str]) -> set[Path]:
    known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    found: set[Path] = set()
    for name in names:
        match = re.search(rf"^\s*{re.escape(name)} \(libc6,[^)]*\) => (\S+)$", known, re.MULTILINE)
        if match:
            found.add(Path(match[1]))
    return found
