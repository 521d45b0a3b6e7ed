"""`onsight studio` keeps its own worker running: trainings queued over HTTP run, whatever is killed meanwhile."""

from __future__ import annotations

import io
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from running_studio import RunningStudio
from studio_rig import zipped
from tiny_runs import COLOURS, shapes

from studio.jobs.folder import JobFolder

pytestmark = [pytest.mark.slow, pytest.mark.alone]
WITHIN_S = 240
TINY = {
    "minutes": 5, "epochs": 150, "from_scratch": True, "size": 16, "hidden_units": 8, "patience": 10_000,
    "batch_size": 16, "validation_fraction": 0.25, "augmentation": "none",
}  # fmt: skip


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[RunningStudio]:
    settings = {"ONSIGHT_STUDIO_JOB_WORKERS": "1", "ONSIGHT_STUDIO_JOB_SILENCE_S": "2", "OMP_NUM_THREADS": "1"}
    studio = RunningStudio(tmp_path / "home", settings)
    studio.start()
    studio.set_up()
    yield studio
    assert studio.process is not None
    if studio.process.poll() is None:
        studio.stop()
    jobs = studio.home / "studio" / "jobs"
    for path in jobs.iterdir() if jobs.is_dir() else ():
        JobFolder(jobs, path.name).remove()
    within(lambda: not workers(studio))


def within(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + WITHIN_S
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def workers(studio: RunningStudio) -> list[int]:
    """Process ids of the workers of this studio's home, without those for exports."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes().split(b"\0")
                environment = (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            own = f"ONSIGHT_HOME={studio.home}".encode() in environment
            if own and b"worker" in command and b"--short" not in command:
                found.append(int(folder.name))
    return found


def queue_training(studio: RunningStudio) -> str:
    """On coloured shapes. Returns the path of the job's calls."""
    project = studio.call("POST", "/studio/v1/projects", {"name": "Colours"})["id"]
    path = f"/studio/v1/projects/{project}"
    files = {}
    for number, colour in enumerate(COLOURS):
        for count in range(8):
            stream = io.BytesIO()
            shapes((colour,), 100 * number + count, edge=16).save(stream, "PNG")
            files[f"{colour}/{count}.png"] = stream.getvalue()
    headers = {"X-Auth-token": studio.token, "Content-Type": "application/zip"}
    answer = studio.ask("POST", f"{path}/images?folder_labels=true", zipped(files), headers)
    assert answer.status == 200, answer.body
    job = studio.call("POST", f"{path}/trainings", {"name": "Colours", "training": TINY})
    return f"{path}/jobs/{job['id']}"


def test_a_training_goes_on_when_its_worker_and_then_the_studio_are_killed(studio: RunningStudio) -> None:
    path = queue_training(studio)
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
