"""Iterative stratification of groups: each goes to the split that still lacks most of the rarest label.

Order: groups stand largest first within a seeded shuffle; label by label, rarest first, each goes to the split that
lacks most rows of that label (Sechidis et al. 2011; for single-label data this is ordinary stratification); groups
without labels fill up what is left; then repairs: every label that has groups enough gets one to learn from and one to
check with. A group is never divided.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

TRAIN: Final = 0
VALIDATION: Final = 1
TEST: Final = 2

Mask = NDArray[np.bool_]


class Units:
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
