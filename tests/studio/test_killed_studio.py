"""kill -9 in the middle of uploads and labelling: what was acknowledged is there afterwards, and nothing is half there.

The web process is killed by a signal that nobody handles, now and then with its parent, at moments drawn at random.
ONSIGHT_TEST_KILLS says how often, for each kind of database.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from running_studio import RunningStudio, running_studio
from studio_rig import picture, zipped

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("ONSIGHT_TEST_KILLS", "10"))
WITH_PARENT_EVERY = 5
TROUBLE = (OSError, http.client.HTTPException, ValueError, AssertionError)


class Worker(threading.Thread):
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


def kill_web_process(studio: RunningStudio) -> None:
    assert studio.process is not None
    pid = studio.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGKILL)


def wait_until_ready(studio: RunningStudio) -> None:
    deadline = time.monotonic() + 120
    while not studio._is_ready():
        assert time.monotonic() < deadline, studio.log.read_text()[-3000:]
        time.sleep(0.02)


def test_no_acknowledged_image_or_label_is_lost(database_url: str, database_kind: str, tmp_path: Path) -> None:
    draw = random.Random(2)
    own = {"ONSIGHT_DATABASE_URL": database_url} if database_kind == "postgres" else {}
    with running_studio(tmp_path / "home", **own) as studio:
        ledger = Ledger(studio, studio.call("POST", "/studio/v1/projects", {"name": "p"})["id"])
        ledger.upload()
        ledger.targets = list(ledger.images)[:5]
        ledger.allowed = {target: {None} for target in ledger.targets}
        for number in range(KILLS):
            workers = [Worker(ledger.upload), Worker(ledger.label)]
            for worker in workers:
                worker.start()
            time.sleep(draw.uniform(0.1, 0.8))
            if number % WITH_PARENT_EVERY == WITH_PARENT_EVERY - 1:
                studio.kill()
                studio.start()
            else:
                kill_web_process(studio)
            for worker in workers:
                worker.ended.set()
            for worker in workers:
                worker.join(60)
                assert not worker.is_alive()
            wait_until_ready(studio)
            ledger.check()
        assert len(ledger.images) > 30
        assert ledger.acknowledged_changes > KILLS / 2
        assert studio.stop() == 0
    incoming = studio.home / "studio" / "incoming"
    assert list(incoming.iterdir()) == []
