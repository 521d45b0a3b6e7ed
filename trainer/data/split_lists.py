"""Match the names on a user's validation and test lists with the images of a data set."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from trainer.data.file_index import FileIndex
from trainer.data.findings import DatasetWarning, SkippedFile, number, some
from trainer.data.sources import Dataset, LabelledFile
from trainer.data.split import Split, listed_splits
from trainer.errors import SplitError


def check_split_choices(
    dataset: Dataset,
    *,
    validation_fraction: float,
    test_fraction: float,
    validation_list: Collection[str] | None,
    test_list: Collection[str] | None,
) -> None:
    """Raise the SplitError that `build_snapshot` would raise of these choices, before any image is read."""
    lists = SplitLists(dataset.files, range(len(dataset.files)), dataset.skipped)
    rows = lists.rows(Split.VALIDATION, validation_list), lists.rows(Split.TEST, test_list)
    listed_splits(len(dataset.files), validation_fraction, test_fraction, *rows)


class SplitLists:
    """Match the names on split lists with the rows that are kept."""

    def __init__(self, files: Sequence[LabelledFile], kept: Sequence[int], skipped: Sequence[SkippedFile]) -> None:
        self.files = [files[row] for row in kept]
        self.index = FileIndex(file.path for file in files)
        self.known = FileIndex(file.path for file in skipped)
        self.warnings: list[DatasetWarning] = []
        self.listed: dict[str, Split] = {}

    def rows(self, split: Split, names: Collection[str] | None) -> NDArray[np.bool_] | None:
        """Which kept rows belong to `split` by its list, or else by declaration; None if neither says anything."""
        if names is None:
            declared = np.array([file.split is split for file in self.files], dtype=np.bool_)
            return declared if declared.any() else None
        found: set[str] = set()
        unmatched = []
        for name in names:
            paths = self.index.find(name)
            if len(paths) == 1:
                found.add(paths[0])
            elif paths or not self.known.find(name):  # an image left out for a reason of its own is no surprise
                unmatched.append(name)
        if not found:
            raise SplitError(
                f"{split} list: expected names of images of the data set, found {number(len(names), 'name')} that fit"
                f" none ({some(unmatched)}). Write paths below the images' folder, or file names."
            )
        if unmatched:
            message = f"{split} list: {number(len(unmatched), 'name')} without one matching image: {some(unmatched)}."
            self.warnings.append(DatasetWarning("unmatched_names", message, tuple(unmatched)))
        twice = tuple(sorted(path for path in found if path in self.listed))
        if twice:
            message = f"{number(len(twice), 'image')} on both lists taken as {split}: {some(twice)}."
            self.warnings.append(DatasetWarning("listed_twice", message, twice))
        self.listed.update(dict.fromkeys(found, split))
        return np.array([file.path in found for file in self.files], dtype=np.bool_)
