"""What was noticed about a data set: files left out and warnings, as data that a command or a page can show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file that takes no part, and why. `path` as the user sees it: relative to the images, or as a list names it."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class DatasetWarning:
    """Something worth knowing that stops nothing.

    code: stable, for machines, such as "few_images".  message: one or two sentences that say what it means.
    items: every file or label concerned, in full.
    """

    code: str
    message: str
    items: tuple[str, ...] = ()


def some(items: Sequence[str] | Iterable[str], count: int = 3) -> str:
    """The first few of many, for a message: "a, b, c and 4 more"."""
    listed = list(items)
    rest = len(listed) - count
    return ", ".join(islice(listed, count)) + (f" and {rest:,} more" if rest > 0 else "")


def number(count: int, noun: str, plural: str = "") -> str:
    """A count with its noun: "1 image", "2,527 images", "2 classes"."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
