"""The whole training: data set -> feature pass -> snapshot -> stages -> statistics -> report, in one run folder.

Whatever ends it (Ctrl-C, a power cut), what was computed stays: features in the cache, the last finished epoch in the
run. Ctrl-C during training still evaluates and reports the best model so far.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray

from bundle.cores import usable_cores
from bundle.manifest import PreprocessSpec
from trainer.backbone import BackboneSpec, check_backbone, load_encoder, read_backbone_spec, scratch_spec
from trainer.data import Dataset, Snapshot, Split, build_snapshot, check_split_choices, read_dataset, read_split_list
from trainer.encoders import Encoder, backbone_encoder, pixel_encoder
from trainer.errors import RunError
from trainer.evaluate import evaluate_run
from trainer.features import ImageTable, Progress, extract, keep_rows, sample_paths
from trainer.progress import RecordingReporter, Reporter, duration
from trainer.recipe import Recipe
from trainer.run import ModelDescription, Run
from trainer.scratch_size import scratch_edge
from trainer.stage_runner import StageRunner
from trainer.stages import Examples, FeatureInputs, PixelInputs
from trainer.warm_start import read_warm_start

SAMPLE_IMAGES = 48


@dataclass(frozen=True)
class Outcome:
    """interrupted: Ctrl-C ended the training early; the run is usable all the same.

    best_epoch: counted through all stages from 1; None where no epoch gave a finite loss.
    """

    run: Run
    interrupted: bool
    best_epoch: int | None
    seconds: float


def train(
    recipe: Recipe, folder: Path, cache_dir: Path, reporter: Reporter, *, resume: bool = False, overwrite: bool = False
) -> Outcome:
    """Train as the recipe says and leave a complete run in `folder`.

    resume: go on with an unfinished run of that folder, with the recipe that it was begun with.
    Raises RunError where `folder` is not free or cannot be gone on with, DatasetError or BackboneError for what it
    would train on; what can be told before images are opened is told before a run that is there is changed.
    """
    began = time.monotonic()
    run = Run(folder)
    recipe = run.recipe() if resume else _with_absolute_paths(recipe)
    if resume:
        if run.complete:
            raise RunError(f"{folder}: this run is finished; there is nothing to resume. Choose another --out.")
    elif run.begun and not overwrite:
        raise RunError(
            f"{folder}: expected a new folder, found a run. Choose another --out, go on with --resume, or start over"
            " with --overwrite."
        )
    threads = recipe.threads or usable_cores()
    torch.set_num_threads(threads)
    begun = resume and run.snapshot_path.is_file() and run.model_path.is_file()
    snapshot = run.snapshot() if begun else None
    if snapshot is None:
        dataset = _read_dataset(recipe)
        choices = _split_choices(recipe)
        check_split_choices(dataset, **choices)  # now: a slip must not show after an hour of features
        root, paths = dataset.root, tuple(file.path for file in dataset.files)
        backbone = _choose_backbone(recipe, root, paths)
    else:
        dataset, root, paths = None, Path(snapshot.root), snapshot.paths
        backbone = check_backbone(run.model().backbone)
    spec = PreprocessSpec(height=backbone.height, width=backbone.width)
    frozen = not backbone.from_scratch and not recipe.random_weights
    warm = None
    if recipe.warm_start and not (begun and run.resume_path.is_file()):  # an unfinished training has weights of its own
        warm = read_warm_start(Run(Path(recipe.warm_start)), backbone, recipe.hidden_units, frozen=frozen)
    encoder = backbone_encoder(backbone, spec, cache_dir, reporter.say) if frozen else pixel_encoder(spec, cache_dir)

    folder.mkdir(parents=True, exist_ok=True)
    if run.exists and not resume:
        run.clear()
    run.write_json(run.recipe_path, recipe.model_dump(mode="json"))
    run.append_event("start", resumed=resume)
    reporter = RecordingReporter(run, reporter)
    if recipe.backbone is None:
        reporter.say(
            "A small network is trained from random weights. With a few hundred images, transfer learning is far"
            " better: leave out --from-scratch, or give --backbone."
        )
    table = _feature_pass(root, paths, spec, encoder, threads, reporter, "features" if frozen else "images")
    if snapshot is None:
        assert dataset is not None
        snapshot = build_snapshot(
            dataset,
            sha256=table.sha256,
            fingerprints=table.fingerprints,
            unreadable=table.unreadable,
            features=table.features if frozen else None,
            seed=recipe.seed,
            **choices,
        )
        snapshot.save(run.snapshot_path)
        for warning in snapshot.warnings:
            reporter.say(f"warning: {warning.message}")
    rows = _rows_of(snapshot, paths, table)
    counts = {split.value: len(snapshot.rows(split)) for split in Split}
    reporter.say(
        f"{len(snapshot.paths):,} images, {len(snapshot.labels)} labels, {snapshot.task.value.replace('_', '-')}: "
        + ", ".join(f"{count:,} {name}" for name, count in counts.items())
    )

    examples = Examples(
        snapshot.task, snapshot.label_matrix, snapshot.rows(Split.TRAIN), snapshot.rows(Split.VALIDATION)
    )
    description = _describe(recipe, snapshot, spec, backbone, table, frozen)
    stages = StageRunner(run, recipe, description, examples, reporter, warm)
    if frozen:
        trained = stages.head(FeatureInputs(keep_rows(table.features, rows)))
        if recipe.fine_tune and not trained.interrupted:
            encoder = pixel_encoder(spec, cache_dir)
            pixels = _feature_pass(root, snapshot.paths, spec, encoder, threads, reporter, "images")
            rows = _rows_of(snapshot, snapshot.paths, pixels)
            trained = stages.fine_tune(PixelInputs(keep_rows(pixels.features, rows), recipe.augmentation), trained)
    else:
        trained = stages.from_random_weights(PixelInputs(keep_rows(table.features, rows), recipe.augmentation))

    reporter.say("interrupted: evaluating the best model so far" if trained.interrupted else "evaluating")
    evaluate_run(run, recipe, snapshot, trained, time.monotonic() - began)
    if not trained.interrupted:
        run.resume_path.unlink(missing_ok=True)
    seconds = time.monotonic() - began
    run.append_event("finish", interrupted=trained.interrupted, seconds=round(seconds, 1))
    return Outcome(run, trained.interrupted, run.best_epoch(), seconds)


def _with_absolute_paths(recipe: Recipe) -> Recipe:
    """The recipe may be read from another folder later: by a resume, a report, an export."""
    names = ("images", "labels_file", "backbone", "warm_start", "validation_list", "test_list")
    given = {name: getattr(recipe, name) for name in names}
    return recipe.model_copy(update={n: str(Path(value).resolve()) for n, value in given.items() if value})


def _read_dataset(recipe: Recipe) -> Dataset:
    lists = (recipe.validation_list, recipe.test_list)
    return read_dataset(
        Path(recipe.images),
        labels_file=Path(recipe.labels_file) if recipe.labels_file else None,
        task=recipe.task,
        default_label=recipe.default_label,
        exclude=[Path(name) for name in lists if name],
    )


def _choose_backbone(recipe: Recipe, root: Path, paths: Sequence[str]) -> BackboneSpec:
    height, width = recipe.input_height, recipe.input_width
    if recipe.backbone is not None:
        return read_backbone_spec(Path(recipe.backbone), height, width)
    if height is None or width is None:
        edge = scratch_edge([root / path for path in sample_paths(paths, SAMPLE_IMAGES)])
        height, width = height or edge, width or edge
    return scratch_spec(height, width)


def _feature_pass(
    root: Path,
    paths: Sequence[str],
    spec: PreprocessSpec,
    encoder: Encoder,
    workers: int,
    reporter: Reporter,
    stage: str,
) -> ImageTable:
    """Time a sample first and say how long the rest will take; the sample's results are kept."""

    def run_pass(chosen: Sequence[str], progress: Progress | None) -> ImageTable:
        return extract(root, chosen, spec, encoder.encode, encoder.cache, workers=workers, progress=progress)

    began, computed = time.monotonic(), 0
    if len(paths) > 4 * SAMPLE_IMAGES:
        sampled = sample_paths(paths, SAMPLE_IMAGES)
        warm = run_pass(sampled[::4], None)  # the first runs of a session are slow
        sample = run_pass([path for place, path in enumerate(sampled) if place % 4], None)
        computed = warm.computed + sample.computed
        if sample.computed:
            estimate_s = sample.seconds / sample.computed * len(paths)
            reporter.say(f"{stage} of {len(paths):,} images: about {duration(estimate_s)}")
    table = run_pass(paths, lambda done, total: reporter.progress(stage, done, total))
    computed += table.computed
    recalled = len(paths) - computed - len(table.unreadable)
    parts = [f"{count:,} {what}" for count, what in ((computed, "computed"), (recalled, "recalled")) if count]
    reporter.say(f"{stage}: {', '.join(parts) or 'none'} in {duration(time.monotonic() - began)}")
    return table


class _SplitChoices(TypedDict):
    validation_fraction: float
    test_fraction: float
    validation_list: tuple[str, ...] | None
    test_list: tuple[str, ...] | None


def _split_choices(recipe: Recipe) -> _SplitChoices:
    def names(path: str | None, split: Split) -> tuple[str, ...] | None:
        return read_split_list(Path(path), split) if path else None

    return {
        "validation_fraction": recipe.validation_fraction,
        "test_fraction": recipe.test_fraction,
        "validation_list": names(recipe.validation_list, Split.VALIDATION),
        "test_list": names(recipe.test_list, Split.TEST),
    }


def _rows_of(snapshot: Snapshot, paths: Sequence[str], table: ImageTable) -> NDArray[np.int64]:
    """Rows of the table that are the snapshot's images; a changed image would make the snapshot a lie."""
    row_of = {path: row for row, path in enumerate(paths)}
    rows = np.asarray([row_of[path] for path in snapshot.paths], np.int64)
    for row, path, sha256 in zip(rows, snapshot.paths, snapshot.sha256, strict=True):
        if table.sha256[row] != sha256:
            reason = table.unreadable.get(path, "its content has changed")
            raise RunError(
                f"{path}: expected the image that this run was begun with, found another ({reason}). Put it back, or"
                " start a new run."
            )
    return rows


def _describe(
    recipe: Recipe, snapshot: Snapshot, spec: PreprocessSpec, backbone: BackboneSpec, table: ImageTable, frozen: bool
) -> ModelDescription:
    return ModelDescription(
        task=snapshot.task,
        labels=snapshot.labels,
        preprocessing=spec,
        backbone=backbone,
        feature_count=table.features.shape[1] if frozen else load_encoder(backbone).feature_count(),
        hidden_units=recipe.hidden_units,
        encoder_trained=not frozen,
    )
