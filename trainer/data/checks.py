"""What is worth knowing before training on a snapshot's rows: warnings as data, none of them fatal.

| code | meaning |
|---|---|
| few_images | a label with fewer than `FEW_IMAGES` images |
| imbalance | the largest label has over `IMBALANCE` times the images of the smallest |
| label_spelling | labels that differ only in case or spaces |
| conflicting_labels | equal files under different labels |
| leaks | images of the validation or test set that look like images of another set |
| likely_leaks | more of them, by the features: crops, mirror images, scenes photographed again |
| no_training, no_validation | a label that a split has no image of, or a split without images |
| large_group | so many images look the same that the split is lopsided |

`trainer.data.sources` and `trainer.data.snapshot` add their own: stepped_into, split_folders, empty_folders,
label_file_encoding, ignored_columns, nameless_rows, missing_images, unlisted_images, unlabelled, several_labels,
unreadable, unmatched_names, listed_twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from trainer.data.findings import DatasetWarning, number, some
from trainer.data.look_alikes import find_look_alikes
from trainer.data.split import SPLITS
from trainer.data.stratify import TEST, TRAIN, VALIDATION
from trainer.directions import LENGTH, directions

FEW_IMAGES: Final = 15
IMBALANCE: Final = 10
LARGE_GROUP_SHARE: Final = 0.2
_AT_ONCE: Final = 2048  # rows of features: the table may be larger than memory

Rows = NDArray[np.int64]


def check_labels(labels: Sequence[str], label_matrix: NDArray[np.bool_]) -> Iterator[DatasetWarning]:
    """Warnings on the labels and their counts.  label_matrix: (N, C) bool."""
    counts = label_matrix.sum(axis=0).tolist()
    few = tuple(f"{label} ({count})" for label, count in zip(labels, counts, strict=True) if count < FEW_IMAGES)
    if few:
        message = (
            f"{number(len(few), 'label')} with fewer than {FEW_IMAGES} images: {some(few, 10)}. Add images of them."
        )
        yield DatasetWarning("few_images", message, few)
    if counts and max(counts) > IMBALANCE * min(counts):
        large, small = labels[counts.index(max(counts))], labels[counts.index(min(counts))]
        message = (
            f"{large!r} has {number(max(counts), 'image')}, {small!r} {min(counts):,}: the model will favour the larger"
            " one. Add images of the smaller, or train with class weighting."
        )
        yield DatasetWarning("imbalance", message, (large, small))
    spellings = defaultdict(list)
    for label in labels:
        spellings["".join(label.casefold().replace("_", " ").split())].append(label)
    alike = tuple(" / ".join(names) for names in spellings.values() if len(names) > 1)
    if alike:
        message = (
            f"Labels that differ in case or spaces alone are taken as different: {some(alike)}. Rename if they are one."
        )
        yield DatasetWarning("label_spelling", message, alike)


def check_equal_files(
    paths: Sequence[str], sha256: Sequence[str], label_matrix: NDArray[np.bool_]
) -> Iterator[DatasetWarning]:
    """A warning where the same bytes carry different labels."""
    places: dict[str, list[int]] = defaultdict(list)
    for row, digest in enumerate(sha256):
        places[digest].append(row)
    conflicts = tuple(
        " = ".join(paths[row] for row in rows)
        for rows in places.values()
        if len(rows) > 1 and (label_matrix[rows] != label_matrix[rows[0]]).any()
    )
    if conflicts:
        message = (
            f"{number(len(conflicts), 'image')} with copies under different labels: {some(conflicts, 2)}."
            " Keep the right one of each."
        )
        yield DatasetWarning("conflicting_labels", message, conflicts)


def check_splits(
    paths: Sequence[str],
    labels: Sequence[str],
    label_matrix: NDArray[np.bool_],
    groups: Rows,
    splits: NDArray[np.int8],
) -> Iterator[DatasetWarning]:
    """Warnings on leaks between splits, and on labels that a split lacks."""
    leaks = tuple(_leaks(paths, groups, splits))
    if leaks:
        message = (
            f"{number(len(leaks), 'validation or test image')} that look like an image of another set, so that figures"
            f" will flatter: {some(leaks, 2)}. Keep look-alikes on one side of the lists."
        )
        yield DatasetWarning("leaks", message, leaks)
    for code, split, consequence in (
        (TRAIN, "training", "cannot be learnt"),
        (VALIDATION, "validation", "cannot be checked"),
    ):
        lacking = tuple(labels[k] for k in np.flatnonzero(~label_matrix[splits == code].any(axis=0)).tolist())
        name = "no_training" if code == TRAIN else "no_validation"
        if not (splits == code).any():
            yield DatasetWarning(
                name, f"No {split} images: the model cannot be checked while it learns.", tuple(labels)
            )
        elif lacking:
            message = f"{number(len(lacking), 'label')} without {split} images {consequence}: {some(lacking, 10)}."
            yield DatasetWarning(name, message, lacking)
    sizes = np.bincount(groups)
    if len(groups) and sizes.max() > LARGE_GROUP_SHARE * len(groups) and sizes.max() > 1:
        rows = np.flatnonzero(groups == sizes.argmax())
        alike = tuple(paths[row] for row in rows.tolist())
        message = f"{number(len(alike), 'image')} look the same, and are kept in one split: {some(alike, 2)}."
        yield DatasetWarning("large_group", message, alike)


def check_look_alikes(
    paths: Sequence[str],
    label_matrix: NDArray[np.bool_],
    groups: Rows,
    splits: NDArray[np.int8],
    features: NDArray[Any],
    fingerprints: NDArray[np.uint8],
    rows: Rows,
) -> Iterator[DatasetWarning]:
    """A warning on leaks that the groups miss. Only images of the same labels are compared: others flatter nothing.

    features: (F, D), fingerprints: (F, B); rows: (N,) where each of the N images stands in them.
    """
    seen = np.zeros((len(SPLITS), int(groups.max(initial=-1)) + 1), np.bool_)
    seen[splits, groups] = True
    vectors = np.empty((len(rows), LENGTH), np.float32)
    for start in range(0, len(rows), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        vectors[part] = directions(features[rows[part]])
    prints = fingerprints[rows]
    kinds = np.unique(label_matrix, axis=0, return_inverse=True)[1].ravel()
    leaks: list[str] = []
    for code in (VALIDATION, TEST):
        told = seen[:code, groups].any(axis=0)  # (N,) what `_leaks` tells of
        asked = np.flatnonzero((splits == code) & ~told)
        for row, twin in find_look_alikes(vectors, prints, kinds, asked, np.flatnonzero(splits < code)):
            leaks.append(_pair(paths, splits, row, twin))
    if leaks:
        message = (
            f"{number(len(leaks), 'validation or test image')} that may show what one of another set shows (cropped,"
            f" mirrored, photographed again), so that figures may flatter: {some(leaks, 2)}. Look at them, and keep"
            " look-alikes on one side by lists."
        )
        yield DatasetWarning("likely_leaks", message, tuple(leaks))


def _leaks(paths: Sequence[str], groups: Rows, splits: NDArray[np.int8]) -> Iterator[str]:
    """ "b.jpg (validation) ~ a.jpg (train)" for each validation or test row with a look-alike in an earlier split."""
    first = np.full((int(groups.max(initial=-1)) + 1, len(SPLITS)), -1)  # (groups, 3): a row of each split
    first[groups[::-1], splits[::-1]] = np.arange(len(groups))[::-1]
    for code, others in ((VALIDATION, (TRAIN,)), (TEST, (TRAIN, VALIDATION))):
        for row in np.flatnonzero(splits == code).tolist():
            for other in others:
                twin = int(first[groups[row], other])
                if twin >= 0:
                    yield _pair(paths, splits, row, twin)
                    break


def _pair(paths: Sequence[str], splits: NDArray[np.int8], row: int, twin: int) -> str:
    return f"{paths[row]} ({SPLITS[splits[row]]}) ~ {paths[twin]} ({SPLITS[splits[twin]]})"
