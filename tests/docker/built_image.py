"""Build the image with buildah and run it as its own settings say, its root read-only and outside of every registry."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host_base import make_host_base

ROOT = Path(__file__).resolve().parents[2]
OWN_WORLD = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
START = """
set -eu
inside=$PATH
PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount --make-rprivate /
mount --bind "$1" "$1"
mount -o remount,ro,bind "$1"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$1/tmp"
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
mount --bind "$2" "$1/var/lib/onsight"
mount --bind -o ro "$3" "$1/models"
mount -o remount,ro,bind "$1/models"
root=$1
user=$4
shift 4
chroot=$(command -v chroot)
PATH=$inside
exec "$chroot" --userspec="$user" "$root" "$@"
"""


@dataclass(frozen=True)
class Buildah:
    """buildah with a storage of its own. work: an empty folder."""

    work: Path

    def __call__(self, *arguments: str | Path, offline: bool = False) -> str:
        storage = ["--root", self.work / "storage", "--runroot", self.work / "run", "--storage-driver", "vfs"]
        command = [*(["unshare", "--net"] if offline else []), "buildah", *storage, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"buildah {arguments[0]}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout.strip()

    def make_base(self, name: str) -> None:
        """A base image of this machine's own Python."""
        root = self.work / "base"
        root.mkdir()
        make_host_base(root)
        container = self("from", "scratch")
        self("copy", "--quiet", container, root, "/")
        self("commit", "--quiet", container, name)
        self("rm", container)
        shutil.rmtree(root)

    def build(self, context: Path, base: str, tag: str, *, target: str = "server", **arguments: str) -> None:
        """`docker build -f docker/Dockerfile`, with no network at all."""
        options = [f"--build-arg={name}={value}" for name, value in {"BASE": base, **arguments}.items()]
        targets = [] if target == "server" else [f"--target={target}"]  # the server is what one gets without asking
        self("build", "--isolation", "chroot", "--format", "docker", *options, *targets,
             "-f", context / "docker/Dockerfile", "-t", tag, context, offline=True)  # fmt: skip


@dataclass(frozen=True)
class Image:
    """A built image, mounted. config: what the image says of itself."""

    root: Path
    config: dict[str, Any]

    @property
    def environment(self) -> dict[str, str]:
        return dict(setting.split("=", 1) for setting in self.config["Env"])

    def start(
        self, home: Path, models: Path, arguments: list[str] | None, environment: Mapping[str, str], log: Path
    ) -> subprocess.Popen[bytes]:
        """Its entry point with `arguments` (None: its own), as its user, process 1 of a read-only root.

        What is returned is the process that waits for it, and ends with its exit code; see `first_process`.
        """
        command = [*self.config["Entrypoint"], *(self.config["Cmd"] if arguments is None else arguments)]
        with log.open("ab") as out:
            return subprocess.Popen(
                [*OWN_WORLD, "sh", "-c", START, "sh", self.root, home, models, self.config["User"], *command],
                env={**self.environment, **environment},
                stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip


def first_process(waiting: subprocess.Popen[bytes]) -> int:
    """Process 1 of a started image, as this machine numbers it: the one that `docker stop` sends its signal to."""
    return int(Path(f"/proc/{waiting.pid}/task/{waiting.pid}/children").read_text())


def copy_context(target: Path) -> None:
    """The repository's own files, as a fresh checkout has them, pages, and a wheelhouse for the image's Python."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
    pages = target / "studio/web/dist"
    pages.mkdir()
    (pages / "index.html").write_text('<div id="root"></div>')
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "-c", "constraints.txt", "-w", "wheelhouse", ".[server,studio]"],
        cwd=target, check=True, capture_output=True,
    )  # fmt: skip


def why_not_here() -> str:
    """Why images cannot be built on this machine; empty where they can."""
    missing = [tool for tool in ("buildah", "unshare", "chroot", "ldd", "git") if shutil.which(tool) is None]
    if missing:
        return f"needs {', '.join(missing)}: scripts/install_test_tools.sh installs buildah on Debian"
    if os.geteuid() != 0:
        return "needs root: it mounts and changes roots"
    if subprocess.run([*OWN_WORLD, "unshare", "--net", "true"], capture_output=True, check=False).returncode:
        return "needs the right to make mount, process and network namespaces"
    return ""


def inspect_image(buildah: Buildah, tag: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(buildah("inspect", "--type", "image", tag))["Docker"]
    return found
