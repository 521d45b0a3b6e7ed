"""The three splits: who belongs where, by the user's lists or by fractions.

Order: rows that a list assigns; then the groups without listed rows, by iterative stratification (`.stratify`).

The result depends on the order of rows: `trainer.data.snapshot` sorts them by content first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trainer.data.folders import IMAGE_SUFFIXES
from trainer.data.stratify import TEST, TRAIN, VALIDATION, Mask, Units
from trainer.errors import SplitError


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

_ENDINGS: Final = "|".join(re.escape(suffix) for suffix in sorted(IMAGE_SUFFIXES, key=len, reverse=True))
_NAMED: Final = re.compile(rf"(?P<name>.+?(?:{_ENDINGS}))(?=[\s,;|\"']|$)[\s,;|\"']*(?P<rest>.*)", re.IGNORECASE)
_COLUMN_NAMES: Final = frozenset({"filename", "file_name", "file", "image", "path", "name"})


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
    wanted, splits = listed_splits(len(groups), validation_fraction, test_fraction, validation_rows, test_rows)
    touched = np.zeros(int(groups.max(initial=-1)) + 1, dtype=np.bool_)
    touched[groups[splits != TRAIN]] = True
    free = np.flatnonzero(~touched[groups])
    if len(free) and (wanted[VALIDATION] or wanted[TEST]):
        units = Units(label_matrix[free], groups[free], seed)
        fixed = label_matrix[(splits == TRAIN) & touched[groups]].sum(axis=0)
        splits[free] = units.assign(wanted, fixed)[units.of_row]
    return splits


def listed_splits(
    rows: int, validation_fraction: float, test_fraction: float, validation_rows: Mask | None, test_rows: Mask | None
) -> tuple[list[float], NDArray[np.int8]]:
    """The fractions of train, validation and test that are left to draw, and the splits by the lists alone, (rows,).

    Raises SplitError as `assign_splits` does.
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
    splits = np.zeros(rows, dtype=np.int8)
    if validation_rows is not None:
        splits[validation_rows] = VALIDATION
    if test_rows is not None:
        splits[test_rows] = TEST
    if len(splits) and not (splits == TRAIN).any():
        raise SplitError("lists: expected images left to train on, found all of them listed. Shorten the lists.")
    return wanted, splits


def read_split_list(path: Path, split: Split | None = None) -> tuple[str, ...]:
    """Names from a list, one a line; what follows the name is ignored ("paper70.jpg 2", "a.jpg,cat").

    split: if given and every line goes on with train, validation or test, as in "a.jpg,test", only the lines of that
    split count.  Empty lines, lines that begin with "#", and a first line of column names are passed over.
    Raises SplitError where the file is missing, empty or no text.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise SplitError(f"{path}: expected a list of file names, found {error.strerror}. Check the path.") from error
    except UnicodeDecodeError as error:
        raise SplitError(f"{path}: expected file names in UTF-8, found other bytes. Save the list as UTF-8.") from error
    lines = list(_lines(text))
    declared = [SPLIT_NAMES.get(rest.casefold()) for _, rest in lines]
    if split is not None and all(declared):
        lines = [line for line, its in zip(lines, declared, strict=True) if its is split]
    if not lines:
        raise SplitError(f"{path}: expected a file name a line, found none. Fill the list, or leave it out.")
    return tuple(dict.fromkeys(name for name, _ in lines))


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """(name, rest) of each line that names something."""
    for place, raw in enumerate(text.splitlines()):
        line = raw.strip().lstrip("\"'")
        match = _NAMED.match(line)
        if match:
            yield match["name"], match["rest"].strip("\"' ")
        elif line and not line.startswith("#"):
            first = re.split(r"[,;\t]", line)[0]
            if place or first.strip("\"' ").casefold() not in _COLUMN_NAMES:
                yield line, ""
