"""`onsight studio` keeps its own worker running: trainings queued over HTTP run, whatever is killed meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from queued_training import ONE_WORKER, end, queue_training, within, workers
from running_studio import RunningStudio

pytestmark = [pytest.mark.slow, pytest.mark.alone]


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[RunningStudio]:
    studio = RunningStudio(tmp_path / "home", dict(ONE_WORKER))
    studio.start()
    studio.set_up()
    yield studio
    end(studio)


def test_a_training_goes_on_when_its_worker_and_then_the_studio_are_killed(studio: RunningStudio) -> None:
    path = queue_training(studio, epochs=150)
    within(lambda: studio.call("GET", path)["progress"].get("epoch"))
    (worker,) = workers(studio)
    os.kill(worker, signal.SIGKILL)
    (another,) = within(lambda: [found for found in workers(studio) if found != worker])
    epoch = studio.call("GET", path)["progress"]["epoch"]
    studio.kill()
    within(lambda: another not in workers(studio))  # without the studio no worker stays
    studio.start()
    job = within(lambda: (told := studio.call("GET", path))["state"] in ("done", "failed") and told)
    assert job["state"] == "done", job
    curves = studio.call("GET", f"{path}/curves")
    assert [row["epoch"] for row in curves["epochs"]] == list(range(1, len(curves["epochs"]) + 1))
    assert len(curves["epochs"]) >= epoch
    assert studio.stop() == 0
