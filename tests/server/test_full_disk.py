"""A disk that is really full: predictions go on, changes are refused in words, and nothing is left half-written.

The install lies on a small tmpfs of its own, which the test fills to the last byte.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from color_bundle import GREEN, RED
from running_server import Install, RunningServer, running

from bundle.home import OnsightHome
from bundle.keys import SigningKey
from bundle.load import load_bundle
from bundle.trust import TrustStore
from server.tokens import Scope

pytestmark = pytest.mark.slow

DISK_BYTES = 24 * 1024 * 1024
V1 = "/v1/predict/default/colours"


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own. Skips where this user may not mount one."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a tmpfs: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk") as folder:
        yield folder


@pytest.fixture
def small(disk: Path) -> Install:
    """An install on the small disk."""
    install = Install(OnsightHome(disk / "home"), disk / "models", SigningKey.generate())
    install.models.mkdir()
    TrustStore(install.home.trust_dir).add(install.key.public_key, "test")
    return install


def fill(disk: Path) -> Path:
    """Take all of the room that is left, by one file."""
    path = disk / "ballast"
    with path.open("wb", buffering=0) as file:
        for size in (65536, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return path


def files_below(folder: Path) -> dict[str, bytes]:
    """Of what must survive: everything but what the processes of the running server share."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "run" not in path.relative_to(folder).parts and path.stat().st_size
    }


def worker_pids(server: RunningServer) -> list[int]:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


def predict_all(server: RunningServer, token: str, count: int = 40) -> None:
    for number in range(count):
        image, label = ((RED, "red"), (GREEN, "green"))[number % 2]
        reply = server.ask("POST", V1, image, token)
        assert (reply.status, reply.json["labels"]) == (200, [label]), reply.body


def test_a_full_disk_stops_changes_and_no_prediction(
    small: Install, disk: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    small.add_bundle()
    small.add_bundle("two.onsight", name="two")
    tokens = {scope: small.add_token(scope.value, scope) for scope in (Scope.PREDICT, Scope.ADMIN, Scope.METRICS)}
    with running(small, tmp_path, workers="2", watch_interval_s="0.2", log_format="json") as server:
        server.wait_for_status(200)
        server.wait_for_workers(tokens[Scope.PREDICT])
        predict_all(server, tokens[Scope.PREDICT])
        before = worker_pids(server)
        ballast = fill(disk)
        kept = files_below(small.home.path)
        predict_all(server, tokens[Scope.PREDICT])
        for path in ("/v2/models/absent/infer", "/v1/predict/default/absent", "/nowhere"):  # new counters
            server.ask("POST", path, RED, tokens[Scope.PREDICT])
        assert server.ask("GET", "/metrics", token=tokens[Scope.METRICS]).status == 200
        for call in ("/v1/models/default/two/unload", "/v2/repository/models/two/unload"):
            refused = server.ask("POST", call, b"", tokens[Scope.ADMIN])
            assert (refused.status, refused.json["code"]) == (507, "CHANGE_NOT_KEPT"), refused.body
            assert str(disk) not in refused.body.decode()
        assert server.ask("POST", "/v1/predict/default/two", RED, tokens[Scope.PREDICT]).status == 200, (
            "nothing changed"
        )
        for pid in worker_pids(server):  # a worker that starts now finds no room for anything
            os.kill(pid, 9)
            server.wait_for_status(200)
            predict_all(server, tokens[Scope.PREDICT], 10)
        assert files_below(small.home.path) == kept, "nothing was half-written"
        assert not list(small.home.path.rglob("*.tmp"))
        record_property(
            "figure", "60 of 60 predictions answered, 20 by new workers; 2 of 2 changes got 507; no file changed"
        )
        ballast.unlink()
        done = server.ask("POST", "/v1/models/default/two/unload", b"", tokens[Scope.ADMIN])
        assert (done.status, done.json["serving"]) == (200, []), "with room again it works, without a restart"
        assert set(worker_pids(server)).isdisjoint(before)
        after = worker_pids(server)
        predict_all(server, tokens[Scope.PREDICT])
        assert worker_pids(server) == after, "no worker ended by itself"
    assert "SIGBUS" not in server.log
    assert json.loads((small.home.path / "serving" / "wishes.json").read_bytes())


def test_a_bundle_that_is_copied_onto_a_full_disk_takes_nothing_away(
    small: Install, disk: Path, tmp_path: Path
) -> None:
    path = small.add_bundle(version="1")
    token = small.add_token()
    with running(small, tmp_path, workers="2", watch_interval_s="0.2") as server:
        server.wait_for_status(200)
        new = Install(small.home, tmp_path / "elsewhere", small.key).add_bundle(version="2").read_bytes()
        ballast = fill(disk)
        os.truncate(ballast, ballast.stat().st_size - 4096)  # there is room for a part of it
        with (small.models / "new.onsight").open("wb", buffering=0) as file:
            assert 0 < file.write(new) < len(new)
        server.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 60
        while not server.ask("GET", "/v1/models", token=token).json["failed"]:
            assert time.monotonic() < end, server.log
            time.sleep(0.05)
        assert {server.ask("POST", V1, RED, token).json["version"] for _ in range(30)} == {"1"}
        server.wait_for_status(200)
    assert load_bundle(path, TrustStore(small.home.trust_dir)).manifest.version == "1"


def test_a_server_starts_on_a_full_disk_and_serves(small: Install, disk: Path, tmp_path: Path) -> None:
    small.add_bundle()
    token, metrics_token = small.add_token(), small.add_token("metrics", Scope.METRICS)
    fill(disk)
    with running(small, tmp_path, workers="2") as server:
        server.wait_for_status(200)
        predict_all(server, token)
        assert server.ask("GET", "/metrics", token=metrics_token).status == 200
        assert server.log.count("Booting worker") == 2
