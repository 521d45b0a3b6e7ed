"""Python packages through pip, each step a process of its own: build ours, ask which others, fetch, prove.

Only `onsight pack-offline` uses this: the one command that asks a package index, because a person told it to.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.parse
import zipfile
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

from bundle.errors import OnsightError

SHOWN_LINES = 15
PAGES_SCRIPT = "scripts/build_web.sh"


class PackagingFailed(OnsightError):
    """A wheelhouse could not be made; the text holds pip's last words."""

    code = "PACKAGING_FAILED"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One wheel that pip chose. url: where it lies.  sha256: empty where the index names none."""

    name: str
    version: str
    url: str
    sha256: str

    @property
    def file_name(self) -> str:
        return urllib.parse.unquote(urllib.parse.urlsplit(self.url).path.rpartition("/")[2])


@dataclass(frozen=True, slots=True)
class OwnWheel:
    """Our own wheel. extras: the names that its metadata offers."""

    path: Path
    version: str
    extras: frozenset[str]


def build_pages(source: Path) -> None:
    """Build the studio's pages in the source tree, where they are not what its sources give. Raises PackagingFailed."""
    result = subprocess.run(  # noqa: S603 - our own script
        [str(source / PAGES_SCRIPT)],
        env={**os.environ, "PYTHON": sys.executable},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode:
        raise PackagingFailed(
            f"building the studio's pages: {PAGES_SCRIPT} ended with exit code {result.returncode}. It needs this"
            f" Python to have onsight[studio], and npm to reach its registry.\n{last_lines(result.stdout)}"
        )


def last_lines(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-SHOWN_LINES:])


class Pip:
    """pip of this Python, with the index that the user has set up."""

    def __init__(self, constraints: Path) -> None:
        self._constraints = constraints

    def build(self, source: Path, folder: Path) -> OwnWheel:
        """Build the wheel of the source tree into the folder."""
        self._run("building the wheel", "wheel", "--no-deps", "--wheel-dir", str(folder), str(source))
        wheels = sorted(folder.glob("onsight-*.whl"))
        if len(wheels) != 1:
            raise PackagingFailed(f"{source}: expected it to build one wheel of onsight, found {len(wheels)}.")
        with zipfile.ZipFile(wheels[0]) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            metadata = Parser().parsestr(archive.read(name).decode())
        return OwnWheel(wheels[0], metadata["Version"], frozenset(metadata.get_all("Provides-Extra", [])))

    def resolve(self, wheel: OwnWheel, extras: str, report: Path) -> list[Requirement]:
        """What `onsight[extras]` needs on this machine beside onsight, sorted by name. report: a file to use."""
        self._run(
            "choosing packages", "install", "--dry-run", "--ignore-installed", "--report", str(report),
            "--only-binary", ":all:", "-c", str(self._constraints), f"onsight[{extras}] @ {wheel.path.as_uri()}",
        )  # fmt: skip
        found = [
            Requirement(
                item["metadata"]["name"],
                item["metadata"]["version"],
                item["download_info"]["url"],
                item["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256", ""),
            )
            for item in json.loads(report.read_text(encoding="utf-8"))["install"]
            if item["metadata"]["name"] != "onsight"
        ]
        return sorted(found, key=lambda requirement: requirement.name.lower())

    def fetch(self, requirement: Requirement, folder: Path) -> None:
        """Download one wheel; pip compares its digest."""
        fragment = f"#sha256={requirement.sha256}" if requirement.sha256 else ""
        self._run(
            f"fetching {requirement.name}", "download", "--no-deps", "--only-binary", ":all:",
            "--dest", str(folder), requirement.url + fragment,
        )  # fmt: skip

    def prove(self, wheels: Path, extras: str, version: str) -> None:
        """Resolve `onsight[extras]` from these wheels alone, as the installer does. Installs nothing."""
        self._run(
            "trying the result without an index", "--isolated", "install", "--dry-run", "--ignore-installed",
            "--no-index", "--find-links", str(wheels), "--only-binary", ":all:", "-c", str(self._constraints),
            f"onsight[{extras}]=={version}", PIP_CONFIG_FILE=os.devnull,
        )  # fmt: skip

    def _run(self, doing: str, *arguments: str, **environment: str) -> None:
        result = subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check", *arguments],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if result.returncode:
            raise PackagingFailed(
                f"{doing}: pip ended with exit code {result.returncode}. Is the package index reachable? What is there"
                f" already is kept: the same command goes on.\n{last_lines(result.stdout)}"
            )
