"""A folder for as long as one server runs: what its processes share as files, and nobody needs afterwards.

Below `home/run`, or the system's temporary folder where the home cannot be written. Held by a lock that ends with the
last process, so that what a crash left behind is recognised and removed by the next start.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
from pathlib import Path

_LOCK = "lock"


class RunFolder:
    """Make one before forking; `remove` it in the same process at the end."""

    def __init__(self, home: Path) -> None:
        parent = home / "run"
        try:
            parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _sweep(parent)
            self.path = parent / f"{os.getpid()}-{secrets.token_hex(4)}"
            self.path.mkdir(mode=0o700)
            self._of_home = True
        except OSError:
            self.path = Path(tempfile.mkdtemp(prefix="onsight-"))
            self._of_home = False
        self._held = (self.path / _LOCK).open("w")
        fcntl.flock(self._held, fcntl.LOCK_EX)
        self._made_ns = os.fstat(self._held.fileno()).st_mtime_ns
        self._owner = os.getpid()

    def subfolder(self, name: str) -> Path:
        """One folder in it, made where it is missing.

        Where that cannot be (the disk is full, or read-only by now) it is missing, and its users manage without.
        """
        folder = self.path / name
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    @property
    def rank(self) -> int:
        """Which of this home's servers this one is, of those that run now, by the time of their start; from 1."""
        if not self._of_home:
            return 1
        ages = [age for lock in self.path.parent.glob(f"*/{_LOCK}") if (age := _age_if_held(lock))]
        own = self._made_ns, self.path.name
        return 1 + sum(age < own for age in ages)

    def remove(self) -> None:
        """In the process that made it; a fork does nothing."""
        if os.getpid() == self._owner:
            shutil.rmtree(self.path, ignore_errors=True)
            self._held.close()


def _age_if_held(lock: Path) -> tuple[int, str] | None:
    """When it was made, and by which server; None for one whose server is no more."""
    with contextlib.suppress(OSError), lock.open("r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return os.fstat(file.fileno()).st_mtime_ns, lock.parent.name
    return None


def _sweep(parent: Path) -> None:
    """Remove the folders of servers that are no more."""
    for folder in parent.iterdir():
        with contextlib.suppress(OSError), (folder / _LOCK).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
