"""What is measured: something that runs, answers for an image, takes load, and is stopped.

Two kinds: a server that is asked over HTTP (`HttpContender`), and the limit without any (`benchmarks.serving.limit`).
Each is a process tree of its own, so that its CPU time and memory can be told from everybody else's.
"""

from __future__ import annotations

import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.serving.launch import Launched
from benchmarks.serving.load import Load, Target, run_wrk
from benchmarks.serving.model import BenchModel
from benchmarks.serving.photos import Size

ANSWER_WITHIN_S = 90


class Skipped(RuntimeError):
    """A contender that cannot take part, and why."""


@dataclass(frozen=True)
class Setup:
    """What every contender is given. photos: per size a folder of JPEGs 0, 1, ...; work: for files of this run."""

    model: BenchModel
    photos: Mapping[Size, Path]
    work: Path
    cache: Path
    cores: int


@dataclass(frozen=True)
class Dialect:
    """How a server is asked for one image, and how its answer reads.

    parse: an answer's body and the model's labels -> probabilities in the order of the labels.
    """

    path: str
    parse: Callable[[bytes, Sequence[str]], list[float]]
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/octet-stream"})
    encode: Callable[[bytes], bytes] = bytes


class Contender(ABC):
    """name: for `--contenders`.  title: in tables.  tolerance: how far a probability may be from the reference's.

    reference: name of the contender whose answers it must give, `limit` or `limit-scaled`.
    """

    is_peer = False

    def __init__(self, name: str, title: str, reference: str, tolerance: float) -> None:
        self.name, self.title, self.reference, self.tolerance = name, title, reference, tolerance

    def prepare(self, cache: Path) -> None:  # noqa: B027 - most need nothing
        """Install what it needs, if anything, into the cache folder. Raises Skipped."""

    @abstractmethod
    def start(self, setup: Setup) -> None:
        """Return once it answers. Raises Skipped."""

    @abstractmethod
    def probabilities(self, size: Size, number: int) -> list[float]:
        """Its answer for one photo, in the order of the model's labels. Raises Skipped."""

    @abstractmethod
    def load(self, size: Size, concurrency: int, seconds: float) -> Load: ...

    @property
    @abstractmethod
    def pid(self) -> int:
        """The root of its process tree."""

    @abstractmethod
    def stop(self) -> None:
        """End it, if it runs."""


class HttpContender(Contender):
    """A server process. Subclasses say how it is started.  answer_within_s: of its start."""

    answer_within_s = ANSWER_WITHIN_S
    _launched: Launched | None = None
    _setup: Setup
    _port: int
    _dialect: Dialect

    @abstractmethod
    def launch(self, setup: Setup) -> tuple[Launched, int, Dialect]:
        """The started process, its port, how it is asked. Raises Skipped."""

    def start(self, setup: Setup) -> None:
        self._setup = setup
        self._launched, self._port, self._dialect = self.launch(setup)
        for size, photos in setup.photos.items():
            folder = self._bodies(size)
            if not folder.is_dir():
                folder.mkdir(parents=True)
                for photo in photos.iterdir():
                    (folder / photo.name).write_bytes(self._dialect.encode(photo.read_bytes()))
        first = self._target(next(iter(setup.photos)))
        try:
            self._launched.wait_until(lambda: first.post(0)[0] == 200, self.answer_within_s)
        except RuntimeError as error:
            self.stop()
            raise Skipped(str(error)) from error

    def probabilities(self, size: Size, number: int) -> list[float]:
        status, body = self._target(size).post(number)
        if status != 200:
            raise Skipped(f"expected status 200, found {status}: {body[:300]!r}")
        try:
            return self._dialect.parse(body, self._setup.model.manifest.labels)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise Skipped(f"expected probabilities, found {body[:300]!r}") from error

    def load(self, size: Size, concurrency: int, seconds: float) -> Load:
        return run_wrk(self._target(size), concurrency, seconds)

    @property
    def pid(self) -> int:
        assert self._launched is not None
        return self._launched.pid

    def stop(self) -> None:
        if self._launched is not None:
            self._launched.stop()
            self._launched = None

    def _bodies(self, size: Size) -> Path:
        return self._setup.work / "bodies" / self.name / f"{size[0]}x{size[1]}"

    def _target(self, size: Size) -> Target:
        return Target(self._port, self._dialect.path, self._dialect.headers, self._bodies(size))


def run_quietly(command: Sequence[str | Path], what: str) -> None:
    """Run to the end; its output is told only where it fails. Raises Skipped."""
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    except OSError as error:
        raise Skipped(f"{what}: {error}") from error
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        told = next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "no output")
        raise Skipped(f"{what} failed: {told[:300]}")
