"""kill -9 in the middle of uploads, labelling and a training: what was acknowledged is there afterwards, nothing is
half there, and the training goes on.

By turns the web process, the worker that trains, both, and the studio with all its processes are killed by a signal
that nobody handles, at moments drawn at random. ONSIGHT_TEST_KILLS says how often, for each kind of database.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from queued_training import ONE_WORKER, end, queue_training, within, workers
from running_studio import RunningStudio, running_studio
from studio_rig import picture, zipped

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("ONSIGHT_TEST_KILLS", "10"))
WITH_PARENT_EVERY = 5
TROUBLE = (OSError, http.client.HTTPException, ValueError, AssertionError)


class Person(threading.Thread):
    """Does something over and over until told to stop, whatever becomes of the studio."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            try:
                self._work()
            except TROUBLE:
                time.sleep(0.02)


class Ledger:
    """What the studio acknowledged."""

    def __init__(self, studio: RunningStudio, project: str) -> None:
        self.studio, self.path = studio, f"/studio/v1/projects/{project}"
        self.images: dict[str, str] = {}  # public id -> sha256
        self.labels = [
            studio.call("POST", f"{self.path}/labels", {"name": name})["id"] for name in ("a", "b", "c", "d")
        ]
        self.targets: list[str] = []
        self.allowed: dict[str, set[str | None]] = {}  # target -> the label that it has, or may have
        self.acknowledged_changes = 0
        self._next = 0
        self._checked: set[str] = set()
        self._draw = random.Random(1)

    def upload(self) -> None:
        """An archive of thirty new images; every line that arrives counts."""
        numbers = range(self._next, self._next + 30)
        self._next += 30
        connection = self.studio.connect()
        try:
            headers = {
                "X-Auth-token": self.studio.token, "Content-Type": "application/zip", "Accept": "application/x-ndjson",
            }  # fmt: skip
            body = zipped({f"{number}.png": picture(number) for number in numbers})
            connection.request("POST", f"{self.path}/images", body, headers)
            response = connection.getresponse()
            while line := response.readline():
                report = json.loads(line)
                assert report.get("outcome") == "added", report
                self.images[report["image"]] = report["sha256"]
        finally:
            connection.close()

    def label(self) -> None:
        """Give one image one label in place of its others."""
        target, label = self._draw.choice(self.targets), self._draw.choice(self.labels)
        self.allowed[target].add(label)
        body = {"selection": {"images": [target]}, "add": [label], "replace": True}
        self.studio.call("POST", f"{self.path}/labelling", body)
        self.allowed[target] = {label}
        self.acknowledged_changes += 1

    def check(self) -> None:
        """Everything acknowledged is there, whole; counts are those of the rows."""
        found = self._all_images()
        for public_id, digest in list(self.images.items()):
            assert found[public_id]["sha256"] == digest
        for target in self.targets:
            labels = found[target]["labels"]
            assert len(labels) <= 1
            actual = labels[0] if labels else None
            assert actual in self.allowed[target]
            self.allowed[target] = {actual}
        counts = self.studio.call("GET", f"{self.path}/counts")
        assert counts["images"] == len(found)
        assert counts["single"] == sum(len(image["labels"]) == 1 for image in found.values())
        for public_id, image in found.items():  # also those that nobody was told of
            if public_id not in self._checked:
                headers = {"X-Auth-token": self.studio.token}
                answer = self.studio.ask("GET", f"{self.path}/images/{public_id}/file", headers=headers)
                assert hashlib.sha256(answer.body).hexdigest() == image["sha256"]
                self._checked.add(public_id)

    def _all_images(self) -> dict[str, Any]:
        found, after = {}, ""
        while True:
            page = self.studio.call("GET", f"{self.path}/images?limit=1000{after}")
            found |= {image["id"]: image for image in page["images"]}
            if page["next"] is None:
                return found
            after = f"&after={page['next']}"


def web_processes(studio: RunningStudio) -> list[int]:
    """What answers requests: the children of the process that was started, but for the one that keeps workers."""
    assert studio.process is not None
    pid = studio.process.pid
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [child for child in children if b"studio.jobs.supervision" not in command_of(child)]


def command_of(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


def kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def wait_until_ready(studio: RunningStudio) -> None:
    deadline = time.monotonic() + 120
    while not studio._is_ready():
        assert time.monotonic() < deadline, studio.log.read_text()[-3000:]
        time.sleep(0.02)


def test_nothing_that_was_acknowledged_is_lost_and_the_training_goes_on(
    database_url: str, database_kind: str, tmp_path: Path
) -> None:
    draw = random.Random(2)
    own = {"ONSIGHT_DATABASE_URL": database_url} if database_kind == "postgres" else {}
    with running_studio(tmp_path / "home", **ONE_WORKER, **own) as studio, ExitStack() as cleanup:
        cleanup.callback(end, studio)  # also where an assertion fails: the training would go on for an hour
        training = queue_training(studio, epochs=1_000_000)
        ledger = Ledger(studio, studio.call("POST", "/studio/v1/projects", {"name": "p"})["id"])
        ledger.upload()
        ledger.targets = list(ledger.images)[:5]
        ledger.allowed = {target: {None} for target in ledger.targets}
        within(lambda: studio.call("GET", training)["progress"].get("epoch"))
        for number in range(KILLS):
            people = [Person(ledger.upload), Person(ledger.label)]
            for person in people:
                person.start()
            time.sleep(draw.uniform(0.1, 0.8))
            if number % 4 == 3:
                studio.kill()
                studio.start()
            else:
                kill((web_processes(studio) if number % 4 in (0, 2) else []) + (workers(studio) if number % 4 else []))
            for person in people:
                person.ended.set()
            for person in people:
                person.join(60)
                assert not person.is_alive()
            wait_until_ready(studio)
            ledger.check()
            assert studio.call("GET", training)["state"] in ("queued", "claimed", "running")
        assert len(ledger.images) > 30
        assert ledger.acknowledged_changes > KILLS / 2
        epochs = len(studio.call("GET", f"{training}/curves")["epochs"])
        within(lambda: len(studio.call("GET", f"{training}/curves")["epochs"]) > epochs)
        studio.call("POST", f"{training}/cancel")
        within(lambda: studio.call("GET", training)["state"] == "cancelled")
        rows = studio.call("GET", f"{training}/curves")["epochs"]
        assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
        assert studio.stop() == 0
    incoming = studio.home / "studio" / "incoming"
    assert list(incoming.iterdir()) == []
