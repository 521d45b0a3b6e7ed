"""What serves changes under load: real servers, several workers, and not one request lost.

ONSIGHT_TEST_SWAPS sets how many swaps (default 20; the promise says 100).
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bad_bundles import BAD_BUNDLES
from color_bundle import RED
from running_server import Install, RunningServer
from tqdm import tqdm

from server.tokens import Scope

pytestmark = pytest.mark.slow

Serve = Callable[..., RunningServer]
V1 = "/v1/predict/default/colours"
SWAPS = int(os.environ.get("ONSIGHT_TEST_SWAPS", "20"))


class Load:
    """Clients that ask without a pause, each on one connection, and write down whatever is not an answer."""

    def __init__(self, server: RunningServer, token: str, clients: int = 4) -> None:
        self.server, self.token = server, token
        self.versions: set[str] = set()
        self.answers = 0
        self.failures: list[Any] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for_version(self, version: str) -> None:
        end = time.monotonic() + 60
        while version not in self.versions:
            assert time.monotonic() < end, self.server.log
            time.sleep(0.01)

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        while not self._stop.is_set():
            try:
                connection.request("POST", V1, RED, {"X-Auth-token": self.token})
                answer = connection.getresponse()
                document = json.loads(answer.read())
                if answer.status != 200 or document["labels"] != ["red"]:
                    self.failures.append((answer.status, document))
                else:
                    self.versions.add(document["version"])
                    self.answers += 1
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(error)
                connection.close()
        connection.close()


def wait_for_versions(server: RunningServer, token: str, wanted: set[str], seconds: float = 60) -> None:
    """Until all workers serve the same, and twelve answers in a row, over fresh connections, are of these versions."""
    end, row = time.monotonic() + seconds, 0
    while row < 12:
        assert time.monotonic() < end, server.log
        reply = server.ask("POST", V1, RED, token)
        in_step = row > 0 or server.ask("GET", "/v1/models", token=token).json["workers"]["in_step"]
        row = row + 1 if in_step and reply.status == 200 and {reply.json["version"]} == wanted else 0
        time.sleep(0 if row else 0.05)


def worker_pids(server: RunningServer) -> list[int]:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


def look_now(server: RunningServer, admin: str) -> None:
    """All workers look at the folder and are done: any change by name does that."""
    reply = server.ask("POST", "/v1/models/default/colours/load", b"", admin)
    assert reply.status == 200, reply.body
    assert reply.json["workers"] == {"count": 2, "in_step": True}


def wait_for_failure(server: RunningServer, token: str) -> None:
    end = time.monotonic() + 60
    while not server.ask("GET", "/v1/models", token=token).json["failed"]:
        assert time.monotonic() < end, server.log
        time.sleep(0.05)


def put_back(path: Path, data: bytes) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
    path.write_bytes(data)


def test_no_request_fails_while_models_are_swapped(
    install: Install, serve: Serve, record_property: Callable[[str, object], None]
) -> None:
    install.add_bundle(version="0")
    token = install.add_token()
    server = serve(workers="2", watch_interval_s="0.2")
    server.wait_for_status(200)
    with Load(server, token) as load:
        for version in tqdm(range(1, SWAPS + 1), desc="swaps", unit="swap", disable=None):
            install.add_bundle(version=str(version))
            server.process.send_signal(signal.SIGHUP)
            if version % 2:
                load.wait_for_version(str(version))
            else:  # the next one comes while this one loads
                time.sleep(0.15)
        wait_for_versions(server, token, {str(SWAPS)})
    record_property(
        "figure",
        f"{len(load.failures)} failed of {load.answers:,} in {SWAPS} swaps, {len(load.versions)} versions seen",
    )
    assert load.failures == []
    assert load.answers > SWAPS
    assert len(load.versions) > SWAPS // 2
    assert "Traceback" not in server.log


def test_a_bundle_that_lands_is_served_without_a_word(install: Install, serve: Serve) -> None:
    token = install.add_token()
    server = serve(workers="2", watch_interval_s="0.2")
    server.wait_for_status(503)
    path = install.add_bundle()
    server.wait_for_status(200)
    wait_for_versions(server, token, {"1"})
    data = path.read_bytes()
    with path.open("wb") as copy:  # a slow copy of the same file, in place
        for at in range(0, len(data), len(data) // 4):
            copy.write(data[at : at + len(data) // 4])
            copy.flush()
            time.sleep(0.3)
            assert server.ask("POST", V1, RED, token).status == 200
    path.unlink()
    server.wait_for_status(503)


def test_whatever_is_put_in_its_place_the_model_serves_on(
    install: Install, serve: Serve, record_property: Callable[[str, object], None]
) -> None:
    path = install.add_bundle()
    good = path.read_bytes()
    token, admin = install.add_token(), install.add_token("admin", Scope.ADMIN)
    server = serve(workers="2", watch_interval_s="0")
    server.wait_for_status(200)
    server.wait_for_workers(token)
    codes = set()
    with Load(server, token, clients=2) as load:
        for spoil in BAD_BUNDLES.values():
            spoil(install, path)
            look_now(server, admin)
            (failed,) = server.ask("GET", "/v1/models", token=token).json["failed"]
            assert (failed["bundle"], failed["earlier_copy_serves"]) == ("colours.onsight", True)
            codes.add(failed["code"])
            put_back(path, good)
            look_now(server, admin)
            assert server.ask("GET", "/v1/models", token=token).json["failed"] == []
    record_property(
        "figure",
        f"{len(BAD_BUNDLES)} of {len(BAD_BUNDLES)} bad bundles left the old model serving; {len(load.failures)} of"
        f" {load.answers:,} requests failed; {len(codes)} different reasons",
    )
    assert len(BAD_BUNDLES) >= 20
    assert load.failures == []
    assert load.versions == {"1"}
    assert len(codes) >= 8
    assert "Traceback" not in server.log


def test_after_a_crash_and_after_a_restart_the_earlier_copy_serves(install: Install, serve: Serve) -> None:
    path = install.add_bundle()
    token = install.add_token()
    server = serve(workers="2", watch_interval_s="0.2")
    server.wait_for_status(200)
    server.wait_for_workers(token)
    path.write_text("bad")
    wait_for_failure(server, token)
    with Load(server, token, clients=2) as load:
        for pid in worker_pids(server):
            os.kill(pid, signal.SIGKILL)
            wait_for_versions(server, token, {"1"})
    cut_off = (ConnectionError, http.client.IncompleteRead)
    assert [each for each in load.failures if not isinstance(each, cut_off)] == []  # cut off, never wrong
    assert server.stop() == 0
    again = serve(workers="2")
    again.wait_for_status(200)
    wait_for_versions(again, token, {"1"})
    path.unlink()  # what is taken away, and not replaced, is gone
    again.process.send_signal(signal.SIGHUP)
    again.wait_for_status(503)


def test_a_models_folder_that_is_away_stops_nothing_and_its_return_is_noticed(install: Install, serve: Serve) -> None:
    install.add_bundle("shop/colours.onsight")
    install.add_bundle(version="1")
    token = install.add_token()
    server = serve(workers="2", watch_interval_s="0.2")
    server.wait_for_status(200)
    server.wait_for_workers(token)
    away = install.models.rename(install.models.with_name("away"))
    time.sleep(0.6)
    (killed, _) = worker_pids(server)
    os.kill(killed, signal.SIGKILL)  # its replacement has only the copies
    wait_for_versions(server, token, {"1"})
    assert server.ask("POST", "/v1/predict/shop/colours", RED, token).status == 200
    away.rename(install.models)
    install.add_bundle(version="2")
    wait_for_versions(server, token, {"2"})
    assert server.log.count("folder not read") <= 3  # once a worker, not at every look


def test_sighup_to_all_processes_ends_none(install: Install, serve: Serve) -> None:
    install.add_bundle(version="1")
    token = install.add_token()
    server = serve(workers="2", watch_interval_s="0")
    server.wait_for_status(200)
    server.wait_for_workers(token)
    before = worker_pids(server)
    install.add_bundle(version="2")
    for pid in (*before, server.process.pid):  # what a closing terminal does
        os.kill(pid, signal.SIGHUP)
    wait_for_versions(server, token, {"2"})
    assert worker_pids(server) == before


def test_models_are_loaded_and_unloaded_by_name_in_all_workers(install: Install, serve: Serve) -> None:
    for version in ("1", "2"):
        install.add_bundle(f"v{version}.onsight", version=version)
    token, admin = install.add_token(), install.add_token("admin", Scope.ADMIN)
    server = serve(workers="3")
    server.wait_for_status(200)
    server.wait_for_workers(token, 3)
    wait_for_versions(server, token, {"2"})

    def change(what: str, document: Any = None, path: str = "/v1/models/default/colours") -> Any:
        return server.ask("POST", f"{path}/{what}", json.dumps(document or {}).encode(), admin)

    def serving(reply: Any) -> list[str]:
        assert reply.status == 200, reply.body
        assert reply.json["workers"] == {"count": 3, "in_step": True}
        return list(reply.json["serving"])

    assert serving(change("load", {"version": "1"})) == ["2", "1"]
    for _ in range(9):
        assert server.ask("POST", f"{V1}?version=1", RED, token).json["version"] == "1"
        assert server.ask("POST", V1, RED, token).json["version"] == "2"
    in_chunks = server.ask("POST", "/v1/models/default/colours/unload", None, admin, chunks=[b'{"version"', b':"7"}'])
    assert in_chunks.json["code"] == "MODEL_NOT_FOUND", "not taken for an empty body, which would unload all versions"
    assert serving(change("unload", {"version": "2"})) == ["1"]  # with the line before: back to an earlier version
    for _ in range(9):
        assert server.ask("POST", V1, RED, token).json["version"] == "1"
    v2_path = "/v2/repository/models/colours"
    assert serving(change("unload", path=v2_path)) == []
    server.wait_for_status(503)
    for _ in range(9):
        assert server.ask("POST", V1, RED, token).status == 404
    index = server.ask("POST", "/v2/repository/index", b"", admin).json
    assert [(each["version"], each["state"]) for each in index] == [("2", "UNAVAILABLE"), ("1", "UNAVAILABLE")]
    assert serving(change("load", {"parameters": {"version": "1"}}, v2_path)) == ["1"]
    assert serving(change("load")) == ["2"]
    assert change("load", {"version": "9"}).json["code"] == "MODEL_NOT_FOUND"
    assert change("load", path="/v1/models/default/absent").status == 404
    assert change("unload", path="/v1/models/default/absent").status == 404
    for bad in ({"version": "../x"}, {"version": 3}, [1]):
        assert change("load", bad).status == 400


def test_a_bundle_that_was_just_copied_is_loaded_by_name_and_a_bad_one_says_why(install: Install, serve: Serve) -> None:
    token, admin = install.add_token(), install.add_token("admin", Scope.ADMIN)
    server = serve(workers="2", watch_interval_s="0")
    server.wait_for_status(503)
    load = "/v1/models/default/colours/load"
    assert server.ask("POST", load, b"", admin).status == 404
    install.add_bundle("bad.onsight", version="3", golden_shift=0.01)
    refused = server.ask("POST", load, b"", admin)
    assert (refused.status, refused.json["code"]) == (409, "MODEL_NOT_LOADED")
    assert "golden image 1" in refused.json["detail"]
    install.add_bundle()
    assert server.ask("POST", load, b"", admin).json["serving"] == ["1"]
    wait_for_versions(server, token, {"1"})
    refused = server.ask("POST", load, b'{"version": "3"}', admin)
    assert (refused.status, refused.json["code"]) == (409, "MODEL_NOT_LOADED")
    assert server.log.count("golden image 1") == 2  # once a worker
