"""Trainings of coloured shapes that a running studio is asked for, and the workers that it keeps for them."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from running_studio import RunningStudio
from tiny_runs import COLOURS, shapes

from studio.jobs.folder import JobFolder

WITHIN_S = 240
ONE_WORKER = {"ONSIGHT_STUDIO_JOB_WORKERS": "1", "ONSIGHT_STUDIO_JOB_SILENCE_S": "2", "OMP_NUM_THREADS": "1"}
TINY = {
    "minutes": 60, "from_scratch": True, "size": 16, "hidden_units": 8, "patience": 10_000, "batch_size": 16,
    "validation_fraction": 0.25, "augmentation": "none",
}  # fmt: skip


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


def zip_of_shapes(per_colour: int = 8) -> bytes:
    """Class folders of small images."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for number, colour in enumerate(COLOURS):
            for count in range(per_colour):
                stream = io.BytesIO()
                shapes((colour,), 100 * number + count, edge=16).save(stream, "PNG")
                archive.writestr(f"{colour}/{count}.png", stream.getvalue())
    return made.getvalue()


def add_shapes(studio: RunningStudio, per_colour: int = 8) -> str:
    """A project of them. Returns its id."""
    project = str(studio.call("POST", "/studio/v1/projects", {"name": "Colours"})["id"])
    headers = {"X-Auth-token": studio.token, "Content-Type": "application/zip"}
    path = f"/studio/v1/projects/{project}/images?folder_labels=true"
    answer = studio.ask("POST", path, zip_of_shapes(per_colour), headers)
    assert answer.status == 200, answer.body
    return project


def queue_training(studio: RunningStudio, epochs: int) -> str:
    """In a project of its own. Returns the path of the job's calls."""
    path = f"/studio/v1/projects/{add_shapes(studio)}"
    wanted = {"name": "Colours", "training": {**TINY, "epochs": epochs}}
    job = studio.call("POST", f"{path}/trainings", wanted)
    return f"{path}/jobs/{job['id']}"


def end(studio: RunningStudio) -> None:
    """Stop a studio that had workers, and wait until nothing of it runs any more."""
    assert studio.process is not None
    if studio.process.poll() is None:
        studio.stop()
    jobs = studio.home / "studio" / "jobs"
    for path in jobs.iterdir() if jobs.is_dir() else ():
        JobFolder(jobs, path.name).remove()
    within(lambda: not workers(studio))
