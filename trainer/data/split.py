"""Divide rows into train, validation and test: stratified by label, groups kept whole, the same for the same seed.

Order: rows that a list assigns; then the free groups, largest first within a seeded shuffle, each to the split that
still lacks most of its rarest label (iterative stratification, Sechidis et al. 2011; for a single label it is ordinary
stratification); then repairs: every label that has groups enough gets an image to learn from and one to check with.

The result depends on the order of rows: `trainer.data.snapshot` sorts them by content first.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trainer.errors import SplitError

TRAIN: Final = 0
VALIDATION: Final = 1
TEST: Final = 2


class Split(StrEnum):
    """Learnt from; used to choose and calibrate; used for the final figures alone."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


SPLITS: Final = (Split.TRAIN, Split.VALIDATION, Split.TEST)  # in the order of their codes 0, 1, 2
SPLIT_NAMES: Final = {
    **dict.fromkeys(("train", "training", "trn"), Split.TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "dev"), Split.VALIDATION),
    **dict.fromkeys(("test", "testing", "tst"), Split.TEST),
}

Mask = NDArray[np.bool_]


def assign_splits(
    label_matrix: Mask,
    groups: NDArray[np.int64],
    *,
    validation_fraction: float = 0.2,
    test_fraction: float = 0.0,
    validation_rows: Mask | None = None,
    test_rows: Mask | None = None,
    seed: int = 0,
) -> NDArray[np.int8]:
    """Give each row its split.

    label_matrix: (N, C) bool.  groups: (N,) int64 from `near_duplicate_groups`.
    validation_fraction, test_fraction: of the rows that no list assigns, in [0, 1), together below 1.
    validation_rows, test_rows: (N,) bool, rows that the user chose; a list replaces its fraction and may divide a
    group, whose other rows then go to train (`trainer.data.checks` reports that). A row on both lists goes to test.
    Returns (N,) int8: 0 train, 1 validation, 2 test. A group without listed rows is never divided. Where a label has
    two or more free groups, one stays in train, and one goes to validation unless that would take another label's last
    training group.  Raises SplitError for impossible fractions, or lists that leave nothing to train on.
    """
    for name, fraction in (("validation", validation_fraction), ("test", test_fraction)):
        if not 0 <= fraction < 1:
            raise SplitError(f"{name} fraction: expected 0 or more and less than 1, found {fraction:g}.")
    wanted = [0.0, 0.0 if validation_rows is not None else validation_fraction, 0.0]
    wanted[TEST] = 0.0 if test_rows is not None else test_fraction
    wanted[TRAIN] = 1 - wanted[VALIDATION] - wanted[TEST]
    if wanted[TRAIN] <= 0:
        raise SplitError(
            f"validation and test fractions: expected a sum below 1, found {validation_fraction:g} and"
            f" {test_fraction:g}. Make them smaller, so that images are left to train on."
        )
    splits = np.zeros(len(groups), dtype=np.int8)
    if validation_rows is not None:
        splits[validation_rows] = VALIDATION
    if test_rows is not None:
        splits[test_rows] = TEST
    if len(splits) and not (splits == TRAIN).any():
        raise SplitError("lists: expected images left to train on, found all of them listed. Shorten the lists.")

    touched = np.zeros(int(groups.max(initial=-1)) + 1, dtype=np.bool_)
    touched[groups[splits != TRAIN]] = True
    free = np.flatnonzero(~touched[groups])
    if len(free) and (wanted[VALIDATION] or wanted[TEST]):
        units = _Units(label_matrix[free], groups[free], seed)
        fixed = label_matrix[(splits == TRAIN) & touched[groups]].sum(axis=0)
        splits[free] = units.assign(wanted, fixed)[units.of_row]
    return splits


class _Units:
    """The free groups as the units of assignment: U units, with what each holds of each label."""

    def __init__(self, label_matrix: Mask, groups: NDArray[np.int64], seed: int) -> None:
        _, self.of_row = np.unique(groups, return_inverse=True)  # (rows,)
        self.sizes = np.bincount(self.of_row)  # (U,)
        self.label_count = label_matrix.shape[1]
        rows, labels = np.nonzero(label_matrix)
        cells = np.unique(self.of_row[rows] * self.label_count + labels, return_counts=True)
        self.held: list[list[tuple[int, int]]] = [[] for _ in self.sizes]  # unit -> [(label, rows)]
        self.holders: list[list[int]] = [[] for _ in range(self.label_count)]  # label -> units
        for cell, count in zip(cells[0].tolist(), cells[1].tolist(), strict=True):
            unit, label = divmod(cell, self.label_count)
            self.held[unit].append((label, count))
            self.holders[label].append(unit)
        shuffled = np.random.default_rng(seed).permutation(len(self.sizes))
        order = shuffled[np.argsort(-self.sizes[shuffled], kind="stable")]  # large groups first: they fit worst later
        self.place = np.argsort(order).tolist()  # unit -> its turn

    def assign(self, wanted: list[float], train_rows: NDArray[np.int64]) -> NDArray[np.int8]:
        """Splits of units, (U,).  wanted: fractions of rows.  train_rows: (C,) rows already in train, by label."""
        self.splits = [-1] * len(self.sizes)
        self.counts = [[0] * self.label_count for _ in range(3)]  # split -> label -> units
        totals = np.zeros(self.label_count)
        for held in self.held:
            for label, count in held:
                totals[label] += count
        lacking = [(fraction * totals).tolist() for fraction in wanted]  # split -> label -> rows
        self._reserve(lacking, wanted)
        lacking_rows = [fraction * float(self.sizes.sum()) for fraction in wanted]
        sizes = self.sizes.tolist()
        active = [split for split in range(3) if wanted[split] > 0]

        open_units = [len(units) for units in self.holders]
        while True:
            label = min((k for k in range(self.label_count) if open_units[k]), key=lambda k: open_units[k], default=-1)
            units = self.holders[label] if label >= 0 else range(len(sizes))  # at last those without labels
            for unit in sorted((u for u in units if self.splits[u] < 0), key=self.place.__getitem__):
                if label >= 0:
                    best = max(active, key=lambda s: (lacking[s][label], lacking_rows[s]))
                else:
                    best = max(active, key=lacking_rows.__getitem__)
                self.splits[unit] = best
                lacking_rows[best] -= sizes[unit]
                for other, count in self.held[unit]:
                    lacking[best][other] -= count
                    self.counts[best][other] += 1
                    open_units[other] -= 1
            if label < 0:
                break
        self._repair(active, train_rows)
        return np.array(self.splits, dtype=np.int8)

    def _reserve(self, lacking: list[list[float]], wanted: list[float]) -> None:
        """Let a small label want at least one row of validation (and of test, from three groups on)."""
        for label, units in enumerate(self.holders):
            for split, least in ((VALIDATION, 2), (TEST, 3)):
                if wanted[split] > 0 and len(units) >= least and lacking[split][label] < 1:
                    lacking[TRAIN][label] -= 1 - lacking[split][label]
                    lacking[split][label] = 1.0

    def _repair(self, active: list[int], train_rows: NDArray[np.int64]) -> None:
        """Move single groups where a label is missing from a split that it could be in; train comes first."""
        by_rarity = sorted(range(self.label_count), key=lambda label: len(self.holders[label]))
        for target, least in ((TRAIN, 1), (VALIDATION, 2), (TEST, 3)):
            if target not in active:
                continue
            for label in by_rarity:
                groups = len(self.holders[label])
                if groups < least or self.counts[target][label] or (target == TRAIN and train_rows[label]):
                    continue
                candidates = sorted(self.holders[label], key=lambda unit: (self.sizes[unit], self.place[unit]))
                for unit in candidates:
                    if target == TRAIN or self._can_leave(unit, train_rows):
                        self._move(unit, target)
                        break

    def _can_leave(self, unit: int, train_rows: NDArray[np.int64]) -> bool:
        """Whether every label that the unit holds keeps another group where the unit is now."""
        source = self.splits[unit]
        return all(
            self.counts[source][label] > 1 or (source == TRAIN and bool(train_rows[label]))
            for label, _ in self.held[unit]
        )

    def _move(self, unit: int, target: int) -> None:
        for label, _ in self.held[unit]:
            self.counts[self.splits[unit]][label] -= 1
            self.counts[target][label] += 1
        self.splits[unit] = target


def by_split(splits: NDArray[np.int8]) -> dict[Split, NDArray[np.int64]]:
    """Row numbers of each split, ascending."""
    return {name: np.flatnonzero(splits == code) for code, name in enumerate(SPLITS)}
