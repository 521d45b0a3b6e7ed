"""What serves changes under load: real servers, several workers, and not one request lost."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from color_bundle import RED
from running_server import Install, RunningServer

from bundle.keys import SigningKey
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
                self.failures.append(repr(error))
                connection.close()
        connection.close()


def wait_for_versions(server: RunningServer, token: str, wanted: set[str], seconds: float = 20) -> None:
    """Until twelve answers in a row, over fresh connections and so over all workers, are of these versions."""
    end, row = time.monotonic() + seconds, 0
    while row < 12:
        assert time.monotonic() < end, server.log
        reply = server.ask("POST", V1, RED, token)
        row = row + 1 if reply.status == 200 and {reply.json["version"]} == wanted else 0
        time.sleep(0 if row else 0.05)


def test_no_request_fails_while_models_are_swapped(install: Install, serve: Serve) -> None:
    install.add_bundle(version="0")
    token = install.add_token()
    server = serve(workers="2", watch_interval_s="0.2")
    server.wait_for_status(200)
    with Load(server, token) as load:
        for version in range(1, SWAPS + 1):
            install.add_bundle(version=str(version))
            server.process.send_signal(signal.SIGHUP)
            time.sleep(0.15)
        wait_for_versions(server, token, {str(SWAPS)})
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


def test_bad_bundles_leave_the_old_model_to_the_workers_that_follow_and_after_a_restart(
    install: Install, serve: Serve
) -> None:
    install.add_bundle()
    token = install.add_token()
    server = serve(workers="2", watch_interval_s="0.2")
    server.wait_for_status(200)
    with Load(server, token, clients=2) as load:
        for options in ({"golden_shift": 0.1}, {"key": SigningKey.generate()}, {"graph": b"\x08\x0ajunk"}):
            install.add_bundle(version="2", **options)
            server.process.send_signal(signal.SIGHUP)
            time.sleep(0.4)
    assert load.failures == []
    assert load.versions == {"1"}
    failed = server.ask("GET", "/v1/models", token=token).json["failed"]
    assert [(each["bundle"], each["earlier_copy_serves"]) for each in failed] == [("colours.onsight", True)]
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    for pid in children.read_text().split():
        os.kill(int(pid), signal.SIGKILL)
    wait_for_versions(server, token, {"1"})
    assert server.stop() == 0
    again = serve(workers="2")
    again.wait_for_status(200)
    wait_for_versions(again, token, {"1"})


def test_models_are_loaded_and_unloaded_by_name_in_all_workers(install: Install, serve: Serve) -> None:
    for version in ("1", "2"):
        install.add_bundle(f"v{version}.onsight", version=version)
    token, admin = install.add_token(), install.add_token("admin", Scope.ADMIN)
    server = serve(workers="3")
    server.wait_for_status(200)
    wait_for_versions(server, token, {"2"})

    def change(what: str, document: Any = None, path: str = "/v1/models/default/colours") -> Any:
        return server.ask("POST", f"{path}/{what}", json.dumps(document or {}).encode(), admin)

    assert change("unload").json == {"project": "default", "name": "colours", "serving": []}
    for _ in range(9):
        assert server.ask("POST", V1, RED, token).status == 404
    assert change("load", {"version": "1"}).json["serving"] == ["1"]
    for _ in range(9):
        assert server.ask("POST", V1, RED, token).json["version"] == "1"
    v2_path = "/v2/repository/models/colours"
    assert change("load", {"parameters": {"version": "2"}}, v2_path).json["serving"] == ["2", "1"]
    for _ in range(9):
        assert server.ask("POST", f"{V1}?version=1", RED, token).json["version"] == "1"
        assert server.ask("POST", V1, RED, token).json["version"] == "2"
    assert change("unload", path=v2_path).json["serving"] == []
    server.wait_for_status(503)
    index = server.ask("POST", "/v2/repository/index", b"", admin).json
    assert [(each["version"], each["state"]) for each in index] == [("2", "UNAVAILABLE"), ("1", "UNAVAILABLE")]
    assert change("load").json["serving"] == ["2"]
    missing = change("load", {"version": "9"})
    assert (missing.status, missing.json["code"]) == (409, "MODEL_NOT_LOADED")
    assert change("load", path="/v1/models/default/absent").status == 404
    for bad in ({"version": "../x"}, {"version": 3}, [1]):
        assert change("load", bad).status == 400
