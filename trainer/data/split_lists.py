"""Lists of file names that a user wants in the validation or test set: read them, and match them with images."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trainer.data.file_index import FileIndex
from trainer.data.findings import DatasetWarning, SkippedFile, number, some
from trainer.data.folders import IMAGE_SUFFIXES
from trainer.data.sources import LabelledFile
from trainer.data.split import SPLIT_NAMES, Split
from trainer.errors import SplitError

_ENDINGS: Final = "|".join(re.escape(suffix) for suffix in sorted(IMAGE_SUFFIXES, key=len, reverse=True))
_NAMED: Final = re.compile(rf"(?P<name>.+?(?:{_ENDINGS}))(?=[\s,;|\"']|$)[\s,;|\"']*(?P<rest>.*)", re.IGNORECASE)
_COLUMN_NAMES: Final = frozenset({"filename", "file_name", "file", "image", "path", "name"})


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
