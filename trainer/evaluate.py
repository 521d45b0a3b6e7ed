"""After training: scores of every image for the best and the last model, statistics, and the report."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bundle.decode import decode_image
from bundle.errors import ImageError
from bundle.versions import library_versions
from trainer.data import Snapshot, Split
from trainer.predictions import write_predictions
from trainer.recipe import Recipe
from trainer.report import THUMBNAIL_SIDE, RunInfo, render_report, thumbnail_jpeg
from trainer.run import Run
from trainer.run_folder import ModelChoice
from trainer.stage_runner import Trained
from trainer.statistics import SplitScores, Statistics, compute_statistics, models_from_json, models_to_json


def evaluate_run(run: Run, recipe: Recipe, snapshot: Snapshot, trained: Trained, seconds: float) -> None:
    """Write best and last weights, predictions.npz, statistics.json and report.html."""
    logits: dict[ModelChoice, NDArray[np.float32]] = {}
    statistics: dict[str, Statistics] = {}
    for choice, weights in trained.weights().items():
        run.save_tensors(run.weights_path(choice), weights)
        logits[choice] = trained.logits(weights, len(snapshot.paths))
        statistics[choice] = compute_statistics(
            snapshot.task,
            snapshot.labels,
            _split_scores(snapshot, logits[choice]),
            thresholds_from=recipe.thresholds_from,
            seed=recipe.seed,
        )
    write_predictions(run, snapshot, logits)
    run.write_text(run.statistics_path, models_to_json(statistics))
    run.append_event("evaluated", seconds=round(seconds, 1), best_epoch=run.best_epoch())
    write_report(run)


def write_report(run: Run) -> None:
    """Render report.html from what the run folder holds (thumbnails from the images, where they still are)."""
    snapshot, recipe, description = run.snapshot(), run.recipe(), run.model()
    statistics = models_from_json(run.require_text(run.statistics_path))
    history = run.history()
    evaluated = list(run.events("evaluated"))[-1:]  # the last: a run that was interrupted was evaluated before
    info = RunInfo(
        name=run.folder.resolve().name,
        task=snapshot.task,
        labels=snapshot.labels,
        created_at=_utc(next((row["at_s"] for row in run.events("start")), None)),
        backbone=description.backbone.name,
        images={split.value: len(snapshot.rows(split)) for split in Split},
        warnings=[(warning.code, warning.message) for warning in snapshot.warnings],
        skipped=[(file.path, file.reason) for file in snapshot.skipped],
        duration_s=evaluated[0]["seconds"] if evaluated else None,
        best_epoch=run.best_epoch(),
        recipe={name: value for name, value in recipe.model_dump(mode="json").items() if value is not None},
        provenance={
            "snapshot": snapshot.sha256_digest,
            "backbone": description.backbone.sha256,
            "input": f"{description.preprocessing.width}x{description.preprocessing.height}",
            **library_versions(("onsight", "torch", "onnxruntime", "numpy")),
        },
    )
    load_thumbnail = thumbnail_loader(Path(snapshot.root))
    run.write_text(run.report_path, render_report(info, statistics, history, load_thumbnail))


def thumbnail_loader(root: Path) -> Callable[[str], bytes | None]:
    """A function from an image's path below root to a small JPEG, None where it cannot be read any more."""

    def load(path: str) -> bytes | None:
        try:
            pixels = decode_image((root / path).read_bytes(), min_size=(THUMBNAIL_SIDE, THUMBNAIL_SIDE))
        except (ImageError, OSError):
            return None
        return thumbnail_jpeg(pixels)

    return load


def _split_scores(snapshot: Snapshot, logits: NDArray[np.float32]) -> dict[str, SplitScores]:
    scores = {}
    for split in Split:
        rows = snapshot.rows(split)
        if len(rows):
            paths = [snapshot.paths[row] for row in rows]
            scores[split.value] = SplitScores(logits[rows], snapshot.label_matrix[rows], paths)
    return scores


def _utc(seconds: float | None) -> str:
    moment = datetime.fromtimestamp(seconds, UTC) if seconds is not None else datetime.now(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
