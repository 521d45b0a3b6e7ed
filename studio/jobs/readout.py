"""What a training would do, told before it is queued: images, splits, steps, times, and what to be warned of.

The trainer's own checks and plans, on what the database knows: no image is opened. Times are estimates: of reading,
by the last trainings of this install with the same network, where there are some.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import Field
from sqlalchemy import Connection, func, select

from bundle.manifest import Frozen, Task
from studio.database.tables import images, jobs
from studio.jobs.dataset import DatasetImage, images_now
from studio.jobs.folder import JobFolder
from studio.jobs.inputs import TrainingInput
from studio.jobs.queue import Kind, State
from trainer.data.checks import check_labels
from trainer.data.findings import some
from trainer.recipe import Recipe
from trainer.stage_defaults import WORK, batch_size_of, epochs_of, stages_of, steps_of

ASSUMED_IMAGES_A_SECOND: Final = 60.0  # on two slow cores; measured in benchmarks/RESULTS.md
_LOOKED_AT: Final = 5
_READING: Final = ("features", "images")
_FEW_FLAGGED: Final = 3


class Warned(Frozen):
    code: str = Field(description="stable")
    message: str


class LabelShare(Frozen):
    label: str
    images: int


class Stage(Frozen):
    name: str
    steps: int = Field(description="at most: it ends earlier once nothing improves, or the minutes are over")
    epochs_at_most: int
    batch_size: int


class ReadOut(Frozen):
    task: Task
    images: int = Field(description="that take part")
    left_out: int = Field(description="images of the project without one of the labels")
    labels: tuple[LabelShare, ...]
    train: int
    validation: int
    test: int
    reading_s: float = Field(description="seconds to read the images, at most: what is known already is not read again")
    images_a_second: float = Field(description="by which that was reckoned")
    measured: bool = Field(description="whether that is of this install, or assumed")
    stages: tuple[Stage, ...]
    warnings: tuple[Warned, ...]


def read_out(connection: Connection, project_id: int, wanted: TrainingInput, jobs_folder: Path) -> ReadOut:
    """Raises NotFound for a label that is not there."""
    unlabelled = wanted.unlabelled_as_negative
    found = images_now(connection, project_id, wanted.labels, unlabelled)
    of_project = select(func.count()).select_from(images).where(images.c.project_id == project_id)
    left_out = int(connection.scalar(of_project) or 0) - len(found)
    names = sorted({label for image in found for label in image.labels}) if wanted.labels is None else wanted.labels
    task = wanted.task or (
        Task.MULTI_LABEL if unlabelled or any(len(image.labels) > 1 for image in found) else Task.SINGLE_LABEL
    )
    kept = [image.labels[:1] if task is Task.SINGLE_LABEL else image.labels for image in found]
    counts = Counter(label for labels in kept for label in labels)
    train, validation, test = _sizes(found, wanted)
    recipe = Recipe(
        images="", backbone=None if wanted.from_scratch else wanted.backbone or "", fine_tune=wanted.fine_tune,
        epochs=wanted.epochs, batch_size=wanted.batch_size,
    )  # fmt: skip
    rate, measured = _images_a_second(connection, jobs_folder, wanted)
    return ReadOut(
        task=task,
        images=len(found),
        left_out=left_out,
        labels=tuple(LabelShare(label=name, images=counts[name]) for name in names),
        train=train,
        validation=validation,
        test=test,
        reading_s=round(len(found) / rate, 1),
        images_a_second=round(rate, 1),
        measured=measured,
        stages=tuple(
            Stage(
                name=WORK[stage], steps=steps_of(stage, recipe, train), batch_size=batch_size_of(stage, recipe, train),
                epochs_at_most=epochs_of(stage, recipe),
            )
            for stage in stages_of(recipe)
        ),
        warnings=tuple(_warnings(found, kept, counts, task, wanted, left_out)),
    )  # fmt: skip


def _sizes(found: Sequence[DatasetImage], wanted: TrainingInput) -> tuple[int, int, int]:
    """Images to train, validate and test with; near-duplicates stay together, so the trainer's differ by a few."""
    flagged = sum(image.validation for image in found) if wanted.use_validation_flags else 0
    free = len(found) - flagged
    validation = flagged or round(free * wanted.validation_fraction)
    test = round(free * wanted.test_fraction)
    return len(found) - validation - test, validation, test


def _warnings(
    found: Sequence[DatasetImage], kept: Sequence[tuple[str, ...]], counts: Mapping[str, int], task: Task,
    wanted: TrainingInput, left_out: int,
) -> list[Warned]:  # fmt: skip
    warned = []
    present = sorted(counts)
    negatives = sum(not labels for labels in kept)
    if not found:
        warned.append(Warned(code="no_images", message="No image has one of these labels. Label some first."))
    elif len(present) < (1 if negatives else 2):
        warned.append(
            Warned(code="few_labels", message="A model tells labels apart: it needs images of at least two of them.")
        )
    if left_out:
        text = f"{left_out:,} images of the project have none of these labels and take no part."
        warned.append(Warned(code="left_out", message=text))
    bare = [name for name in wanted.labels or () if not counts.get(name)]
    if found and bare:
        text = (
            f"No image has the {'label' if len(bare) == 1 else 'labels'} {some(bare, 10)}: the model will not know it."
        )
        warned.append(Warned(code="bare_labels", message=text))
    several = sum(len(image.labels) > 1 for image in found)
    if task is Task.SINGLE_LABEL and several:
        text = f"{several:,} images have several labels; of each the default label counts, else the first."
        warned.append(Warned(code="several_labels", message=text))
    if present:
        place = {name: column for column, name in enumerate(present)}
        matrix = np.zeros((len(kept), len(present)), np.bool_)
        for row, labels in enumerate(kept):
            matrix[row, [place[label] for label in labels]] = True
        warned += [Warned(code=each.code, message=each.message) for each in check_labels(present, matrix)]
    if wanted.use_validation_flags:
        flagged = Counter(
            label for image, labels in zip(found, kept, strict=True) if image.validation for label in labels
        )
        scarce = [name for name in present if flagged[name] < _FEW_FLAGGED]
        if scarce:
            text = (
                f"Fewer than {_FEW_FLAGGED} images are flagged for validation of: {', '.join(scarce[:10])}."
                " Flag more, or let the trainer choose."
            )
            warned.append(Warned(code="few_flagged", message=text))
    return warned


def _images_a_second(connection: Connection, jobs_folder: Path, wanted: TrainingInput) -> tuple[float, bool]:
    """Of the last trainings with the same network, from their events; whether there were any."""
    rows = connection.execute(
        select(jobs.c.public_id, jobs.c.input)
        .where(jobs.c.kind == Kind.TRAINING, jobs.c.state == State.DONE)
        .order_by(jobs.c.id.desc())
        .limit(_LOOKED_AT)
    )
    rates = [
        rate
        for row in rows
        if _network(TrainingInput.model_validate(row.input)) == _network(wanted)
        and (rate := _rate_of(JobFolder(jobs_folder, row.public_id).run.events("progress"))) is not None
    ]
    # The slowest: what had been read before was recalled, which is faster than anything to be read anew.
    return (min(rates), True) if rates else (ASSUMED_IMAGES_A_SECOND, False)


def _network(wanted: TrainingInput) -> tuple[Any, ...]:
    return wanted.from_scratch, wanted.backbone, wanted.size


def _rate_of(rows: Any) -> float | None:
    seen = [(float(row["at_s"]), int(row["done"])) for row in rows if row.get("stage") in _READING]
    if len(seen) < 2 or seen[-1][0] <= seen[0][0] or seen[-1][1] <= seen[0][1]:
        return None
    return (seen[-1][1] - seen[0][1]) / (seen[-1][0] - seen[0][0])
