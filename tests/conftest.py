"""Fixtures of more than one room: tiny runs and their bundles, made once, and the command line as real processes.

Under `pytest -n`, each worker makes its own, and a test marked `alone` waits until no other test runs.
"""

from __future__ import annotations

import fcntl
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from onsight_process import Finished, Onsight, OnsightProcesses
from tiny_runs import EXPORTED_AT, TinyRun, train_tiny

from bundle.home import OnsightHome
from bundle.keys import SigningKey
from bundle.manifest import Task
from bundle.trust import TrustStore
from exporter.export import export_run

# A run in the background of a script inherits an ignored SIGINT, and so would every process that tests send Ctrl-C to.
signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def locked(path: Path, kind: int) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, kind)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A test marked `alone` holds what all others share; who waits for that keeps later tests from beginning."""
    with ExitStack() as stack:
        if hasattr(item.config, "workerinput"):  # a worker of pytest-xdist, and not the only one
            folder = item.config._tmp_path_factory.getbasetemp().parent
            is_alone = item.get_closest_marker("alone") is not None
            with locked(folder / "next.lock", fcntl.LOCK_EX):
                stack.enter_context(locked(folder / "running.lock", fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH))
        return (yield)


@pytest.fixture(scope="session")
def single_run(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """A run of shapes in the class folders "blue", "grün" and "red, dark". Read it; copy it to change it."""
    return train_tiny(tmp_path_factory.mktemp("single"), Task.SINGLE_LABEL)


@pytest.fixture(scope="session")
def multi_run(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """A multi-label run whose labels hold commas, slashes and letters of three alphabets."""
    return train_tiny(tmp_path_factory.mktemp("multi"), Task.MULTI_LABEL)


@pytest.fixture(scope="session")
def maker_key() -> SigningKey:
    return SigningKey.generate()


@pytest.fixture(scope="session")
def single_bundle(single_run: TinyRun, maker_key: SigningKey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The single-label run, exported and signed by `maker_key`."""
    out = tmp_path_factory.mktemp("bundles") / "shapes.onsight"
    return export_run(single_run.run, out, maker_key, now=EXPORTED_AT).path


@pytest.fixture(scope="session")
def multi_bundle(multi_run: TinyRun, maker_key: SigningKey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The multi-label run, exported and signed by `maker_key`."""
    out = tmp_path_factory.mktemp("bundles") / "multi.onsight"
    return export_run(multi_run.run, out, maker_key, now=EXPORTED_AT).path


@pytest.fixture
def home(tmp_path: Path, maker_key: SigningKey) -> OnsightHome:
    """An install of the test's own, which trusts `maker_key`."""
    home = OnsightHome(tmp_path / "home")
    TrustStore(home.trust_dir).add(maker_key.public_key, "maker")
    return home


@pytest.fixture(scope="session")
def onsight_processes() -> Iterator[OnsightProcesses]:
    processes = OnsightProcesses()
    yield processes
    processes.close()


@pytest.fixture
def onsight(onsight_processes: OnsightProcesses, home: OnsightHome, tmp_path: Path) -> Onsight:
    """Run `onsight` in the test's own folder: onsight("train", images, "--out", "run") -> Finished."""

    def run(*arguments: object, home: OnsightHome = home, cwd: Path = tmp_path, **environment: str) -> Finished:
        return onsight_processes.run([str(a) for a in arguments], cwd, home.path, environment)

    return run
