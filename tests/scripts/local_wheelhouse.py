"""Wheelhouses that need no package index: our real packages, and one dependency that stands in for all others.

The stand-in is a wheel with a `.pth` file that lends what the tests run with. So a release in a test is a real
environment with a real server, and is made in seconds.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("bundle", "licenses", "trainer", "exporter", "server", "onsight")
STAND_IN = "what-the-tests-run-with"
BACKEND = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from local_wheelhouse import write_own_wheel


def build_wheel(folder, config_settings=None, metadata_directory=None):
    return write_own_wheel(folder).name
"""


def write_wheel(folder: Path, name: str, version: str, files: Mapping[str, bytes], metadata: str = "") -> Path:
    """A pure wheel. files: path in it -> contents.  metadata: further lines of METADATA."""
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    contents = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for path, data in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(data)}\n"
    contents[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in contents.items():
            archive.writestr(zipfile.ZipInfo(member), data)  # always the same date
    return path


def write_own_wheel(folder: Path | str, version: str = "0.1.0", changes: Mapping[str, str] | None = None) -> Path:
    """The packages of this repository as version `version`. changes: path -> Python code added at its end."""
    files = {
        str(path.relative_to(ROOT)): path.read_bytes()
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
    }
    for path, code in (changes or {}).items():
        files[path] += f"\n{code}\n".encode()
    stem = f"onsight-{version}.dist-info"
    files[f"{stem}/entry_points.txt"] = b"[console_scripts]\nonsight = onsight.cli:main\n"
    needs = "".join(
        f"Provides-Extra: {extra}\nRequires-Dist: {STAND_IN}; extra == '{extra}'\n"
        for extra in ("server", "gpu", "train", "studio")
    )
    return write_wheel(Path(folder), "onsight", version, files, needs)


def write_stand_in(folder: Path) -> Path:
    return write_wheel(folder, STAND_IN, "1", {"lent.pth": sysconfig.get_path("purelib").encode() + b"\n"})


def write_source_tree(folder: Path) -> Path:
    """What `onsight pack-offline` needs of a source tree, with a build that downloads nothing."""
    folder.mkdir(parents=True)
    shutil.copytree(ROOT / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "constraints.txt").write_text(f"{STAND_IN}==1\n")
    (folder / "backend.py").write_text(BACKEND)
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "onsight"\nversion = "0.1.0"\n'
    )
    return folder


def index_environment(index: Path) -> dict[str, str]:
    """pip of this environment knows the wheels in `index`, and nothing else."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "ONSIGHT_"))}
    return {**clean, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_CONFIG_FILE": os.devnull, "COLUMNS": "100"}


def pack_offline(
    folder: Path, source: Path, environment: Mapping[str, str], *options: str
) -> subprocess.CompletedProcess[str]:
    script = Path(sys.executable).parent / "onsight"
    return subprocess.run(
        [script, "pack-offline", folder, "--source", source, *options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def changed_wheelhouse(wheelhouse: Path, out: Path, version: str, changes: Mapping[str, str] | None = None) -> Path:
    """A wheelhouse like this one, but with onsight `version` and these changes in its code."""
    shutil.copytree(wheelhouse, out)
    for wheel in out.glob("wheels/onsight-*.whl"):
        wheel.unlink()
    write_own_wheel(out / "wheels", version, changes)
    set_fact(out, "VERSION", version)
    return out


def set_fact(wheelhouse: Path, key: str, value: str) -> None:
    """Change a line of wheelhouse.conf, and SHA256SUMS to fit."""
    conf = wheelhouse / "wheelhouse.conf"
    lines = [line for line in conf.read_text().splitlines() if not line.startswith(f"{key}=")]
    conf.write_text("\n".join([*lines, f"{key}={value}"]) + "\n")
    paths = [path for path in sorted(wheelhouse.rglob("*")) if path.is_file() and path.name != "SHA256SUMS"]
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(wheelhouse)}\n" for path in paths]
    (wheelhouse / "SHA256SUMS").write_text("".join(sums))


def made_of(result: subprocess.CompletedProcess[str]) -> dict[str, object]:
    """What `pack-offline --json` printed."""
    assert result.returncode == 0, result.stderr
    document: dict[str, object] = json.loads(result.stdout)
    return document
