"""From a run to answers: what a server says is what the trained network says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_runs import TinyRun

from bundle.decide import decide, probabilities_from_logits
from bundle.decode import ImageLimits
from bundle.home import OnsightHome
from bundle.load import load_bundle
from bundle.manifest import Task
from bundle.trust import TrustStore
from server.engines.factory import EngineOptions, engine_factory
from server.models.loader import load_model
from server.models.shelf import DEFAULT_PROJECT


@pytest.mark.parametrize("task", [Task.SINGLE_LABEL, pytest.param(Task.MULTI_LABEL, marks=pytest.mark.slow)])
def test_a_served_bundle_answers_as_the_run_recorded(
    task: Task, request: pytest.FixtureRequest, home: OnsightHome
) -> None:
    name = "single" if task is Task.SINGLE_LABEL else "multi"
    tiny: TinyRun = request.getfixturevalue(f"{name}_run")
    path: Path = request.getfixturevalue(f"{name}_bundle")
    bundle = load_bundle(path, TrustStore(home.trust_dir))
    build = engine_factory(EngineOptions())
    model = load_model(bundle, DEFAULT_PROJECT, path.name, build, ImageLimits())

    snapshot = tiny.run.snapshot()
    with np.load(tiny.run.predictions_path) as predictions:
        recorded = predictions["best_logits"]
    wanted = probabilities_from_logits(recorded, task, bundle.manifest.calibration.temperature)
    answered = []
    for row, image in enumerate(snapshot.paths):
        decision = model.predict((tiny.images / image).read_bytes()).decision
        scores = {score.label: score.probability for score in decision.scores}
        assert [scores[label] for label in snapshot.labels] == pytest.approx(wanted[row], abs=1e-4)
        assert decision.labels == decide(bundle.manifest, wanted[row], recorded[row]).labels
        answered.append(decision.labels)
    assert len(set(answered)) > len(snapshot.labels) - 1  # the model tells images apart
