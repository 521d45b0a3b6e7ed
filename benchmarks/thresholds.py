"""Measure what follows a click on a model's curve: `python -m benchmarks.thresholds [--images 100000] [--write]`.

A run folder of synthetic scores, as a training leaves it, in a studio with SQLite; then whole requests through the
application, without a network, each at thresholds that were not asked for before. The first one also reads the run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import insert

from benchmarks.sections import RESULTS, replace_section
from bundle.manifest import Task
from studio.context import StudioContext
from studio.database.migrate import migrate
from studio.database.tables import jobs
from studio.images.blobs import open_blobs
from studio.jobs.folder import JobFolder
from studio.jobs.inputs import TrainingInput
from studio.settings import StudioSettings
from trainer.data.snapshot import Snapshot
from trainer.data.split import SPLITS
from trainer.predictions import write_predictions
from trainer.recipe import Recipe
from trainer.run_folder import RunFolder
from trainer.statistics import SplitScores, compute_statistics, models_to_json

sys.path[:0] = [str(Path(__file__).parents[1] / "tests" / "studio")]

LABELS = 100
OTHERS = 2_000  # training and validation images, together twice as many
REPEATS = 41
ROUNDS = 3
GOAL_MS = 50
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000, help="test images")
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    chosen = parser.parse_args()
    load = os.getloadavg()[0]
    lines = []
    for number in range(1, ROUNDS + 1):
        first, times, processor = measure_requests(chosen.images)
        late = sorted(times)[int(0.95 * len(times))]
        cells = (statistics.median(times), late, max(times), statistics.median(processor), first)
        lines.append(f"| {number} | {GOAL_MS} | " + " | ".join(f"{value:.0f}" for value in cells) + " |")
    table = "\n".join(lines)
    section = f"""## New thresholds of a model: `python -m benchmarks.thresholds`

{chosen.images:,} synthetic test images and {LABELS} labels, of which an image carries 3 % on average: all figures at
thresholds that are new. {REPEATS} whole requests a round through the application without a network, in milliseconds;
processor time is what they cost without what else the machine did. Load average at the start: {load:.0f} on
{os.cpu_count()} cores.

| round | goal | median | 95 % are below | slowest | median of processor time | the first, which reads the run |
|---:|---:|---:|---:|---:|---:|---:|
{table}
"""
    print(section)
    if chosen.write:
        RESULTS.write_text(replace_section(RESULTS.read_text(), "thresholds", section))


def measure_requests(images: int) -> tuple[float, list[float], list[float]]:
    """Milliseconds of the first request, and of each later one: on the clock, and of the processor."""
    from postgres_server import open_database
    from studio_rig import NOON, Clock, Rig

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = StudioSettings(home=folder)
        settings.incoming_folder.mkdir(parents=True)
        database = open_database(f"sqlite:///{folder / 'studio.sqlite3'}")
        migrate(database)
        parts = StudioContext(settings, database, *open_blobs(None, settings.folder), now=Clock())
        work = Rig(parts, Clock()).workplace()
        values: dict[str, Any] = {
            "project_id": work.project_id, "kind": "training", "name": "m", "state": "done", "progress": {},
            "input": TrainingInput().model_dump(mode="json"), "created_at": NOON, "finished_at": NOON,
        }  # fmt: skip
        with database.writing() as connection:
            job = connection.execute(insert(jobs).values(**values).returning(jobs.c.public_id)).scalar_one()
        write_run(JobFolder(settings.jobs_folder, job).run, images)

        def ask(number: int) -> tuple[float, float]:
            thresholds = [round(0.2 + 0.015 * number, 3)] * LABELS
            start, spent = time.perf_counter(), time.process_time()
            work.caller.post(f"{work.path}/models/{job}/measure", {"split": "test", "thresholds": thresholds})
            return (time.perf_counter() - start) * 1e3, (time.process_time() - spent) * 1e3

        first, *others = [ask(number) for number in range(REPEATS + 1)]
        database.close()
    return first[0], [wall for wall, _ in others], [processor for _, processor in others]


def write_run(run: RunFolder, images: int) -> None:
    """Statistics have few resamples: intervals are not what is measured here."""
    random = np.random.default_rng(SEED)
    total = images + 2 * OTHERS
    truth = random.random((total, LABELS)) < 0.03
    logits = (random.normal(size=truth.shape) + 3 * truth - 2).astype(np.float32)
    splits = np.repeat(np.arange(3, dtype=np.int8), [OTHERS, OTHERS, images])
    assert [split.value for split in SPLITS] == ["train", "validation", "test"]
    snapshot = Snapshot(
        root="/images", task=Task.MULTI_LABEL, labels=tuple(f"label {n:03}" for n in range(LABELS)), default_label=None,
        paths=tuple(f"{n:07}.png" for n in range(total)), sha256=tuple(f"{n:064x}" for n in range(total)),
        label_matrix=truth, splits=splits, groups=np.arange(total),
    )  # fmt: skip
    run.folder.mkdir(parents=True)
    run.recipe_path.write_text(Recipe(images="/images").model_dump_json())
    snapshot.save(run.snapshot_path)
    write_predictions(run, snapshot, {"best": logits, "last": logits})
    scores = {}
    for code, split in enumerate(SPLITS):
        rows = np.flatnonzero(splits == code)
        scores[split.value] = SplitScores(logits[rows], truth[rows], [snapshot.paths[row] for row in rows.tolist()])
    found = compute_statistics(snapshot.task, snapshot.labels, scores, resamples=10)
    run.statistics_path.write_text(models_to_json({"best": found, "last": found}))


if __name__ == "__main__":
    main()
