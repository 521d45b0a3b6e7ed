"""One model a label, trained for real: each tells its label from all other images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from queued_training import ONE_WORKER, TINY, add_shapes, end, within
from running_studio import RunningStudio

from studio.jobs.folder import JobFolder
from trainer.predictions import read_predictions

pytestmark = pytest.mark.slow
LABELS = ["red", "blue"]
IMAGES_A_COLOUR = 12


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[RunningStudio]:
    studio = RunningStudio(tmp_path / "home", dict(ONE_WORKER))
    studio.start()
    studio.set_up()
    yield studio
    end(studio)


def test_each_of_many_one_class_models_tells_its_label_from_the_rest(studio: RunningStudio) -> None:
    path = f"/studio/v1/projects/{add_shapes(studio, IMAGES_A_COLOUR)}"
    wanted = {"name": "Is it", "labels": LABELS, "training": {**TINY, "epochs": 80}}
    queued = studio.call("POST", f"{path}/trainings/one-class", wanted)["jobs"]

    for job, label in zip(queued, LABELS, strict=True):
        address = f"{path}/jobs/{job['id']}"
        state = within(lambda at=address: (told := studio.call("GET", at)["state"]) in ("done", "failed") and told)
        assert state == "done"
        run = JobFolder(studio.home / "studio" / "jobs", job["id"]).run
        snapshot = run.snapshot()
        assert snapshot.labels == (label,)
        assert (len(snapshot), int(snapshot.label_matrix.sum())) == (3 * IMAGES_A_COLOUR, IMAGES_A_COLOUR)
        said = read_predictions(run, "best")
        scores, is_it = said.logits[:, 0], said.truth[:, 0]
        pairs = scores[is_it][:, None] > scores[~is_it][None, :]
        assert pairs.mean() > 0.9  # the area under the ROC curve: chance is 0.5
