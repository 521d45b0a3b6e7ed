"""A stop that nobody notices: clients behind a balancer that obeys readiness lose no request, while the server ends.

ONSIGHT_TEST_STOPS sets how many times it is stopped (default 2; 20 for the figure).
"""

from __future__ import annotations

import http.client
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from color_bundle import RED
from running_server import Install, RunningServer, running
from tqdm import tqdm

STOPS = int(os.environ.get("ONSIGHT_TEST_STOPS", "2"))
CLIENTS = 32
LOOK_EVERY_S = 0.25
V1 = "/v1/predict/default/colours"


class Balancer:
    """Sends clients to a server for as long as it says that it is ready; looks four times a second, as one would."""

    def __init__(self, server: RunningServer, token: str) -> None:
        self._server = server
        self._token = token
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._look)]
        self._threads += [threading.Thread(target=self._ask) for _ in range(CLIENTS)]
        self.ready = threading.Event()
        self.answers = 0
        self.refused: list[int] = []
        self.broken: list[str] = []
        self.looked_away = False

    def _look(self) -> None:
        while not self._over.is_set():
            try:
                is_ready = self._server.ask("GET", "/health/ready").status == 200
            except OSError:
                is_ready = False
            if not is_ready and self.ready.is_set():
                self.looked_away = True
            (self.ready.set if is_ready else self.ready.clear)()
            self._over.wait(LOOK_EVERY_S)

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=30)
        while not self._over.is_set():
            if not self.ready.is_set():
                connection.close()
                time.sleep(0.01)
                continue
            try:
                connection.request("POST", V1, RED, {"X-Auth-token": self._token})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.broken.append(repr(error))
                connection.close()
                continue
            if answer.status == 200:
                self.answers += 1
            else:
                self.refused.append(answer.status)
        connection.close()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()


@pytest.mark.slow
@pytest.mark.alone  # it must look away within the server's seconds of grace
def test_clients_that_obey_readiness_lose_nothing_when_the_server_stops(
    install: Install, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    install.add_bundle()
    token = install.add_token()
    answers, slowest_s = 0, 0.0
    broken: list[str] = []
    refused: list[int] = []
    for _ in tqdm(range(STOPS), desc="stops", unit="stop", disable=None):
        with running(install, tmp_path, workers="2", drain_s="3", log_level="warning") as server:
            server.wait_for_status(200)
            balancer = Balancer(server, token)
            with balancer.at_work():
                assert balancer.ready.wait(20)
                time.sleep(1)
                began = time.monotonic()
                assert server.stop() == 0, server.log
                slowest_s = max(slowest_s, time.monotonic() - began)
            assert balancer.looked_away
            assert balancer.answers > CLIENTS
            answers += balancer.answers
            broken += balancer.broken
            refused += balancer.refused
    record_property("slowest_s", slowest_s)
    record_property(
        "figure",
        f"{len(broken)} broken and {len(refused)} refused of {answers:,} requests of {CLIENTS} clients, {STOPS} stops,"
        f" slowest stop {slowest_s:.1f} s",
    )
    assert (broken, refused) == ([], [])
