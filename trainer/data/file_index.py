"""Find the image that a label file or a split list means by a name. Never opens a file."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import PurePosixPath

from trainer.data.folders import has_image_suffix


class FileIndex:
    """Images by the names that people give them.

    `find` tries, in this order, and stops at the first that fits: the relative path (also with leading folders left
    out, as in "C:\\photos\\cats\\1.jpg"); the bare file name anywhere below; both again without regard to case;
    the file name without its ending ("IMG_001"). Folders that are named must agree with the image's as far as both go:
    "dogs/1.jpg" never means "cats/1.jpg".
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = {_normal(path): path for path in paths}

    def find(self, name: str) -> tuple[str, ...]:
        """Every image that `name` can mean: none if it is missing, several if it is ambiguous."""
        wanted = _normal(name.strip().replace("\\", "/"))
        wanted = wanted.removeprefix("./").strip("/")
        if not wanted:
            return ()
        parts = wanted.split("/")
        tails = ["/".join(parts[start:]) for start in range(len(parts))]
        for tail in tails:
            if tail in self._paths:
                return (self._paths[tail],)
        if found := self._agreeing(self._by_name, parts):
            return found
        for tail in tails:
            if tail.casefold() in self._folded:
                return self._folded[tail.casefold()]
        if found := self._agreeing(self._folded_by_name, [part.casefold() for part in parts]):
            return found
        if not has_image_suffix(wanted):
            return self._agreeing(self._by_stem, parts)
        return ()

    def _agreeing(self, grouped: dict[str, tuple[str, ...]], parts: list[str]) -> tuple[str, ...]:
        """The group of the last part, less the images in other folders than the parts before it say."""
        folders = [part.casefold() for part in parts[-2::-1]]  # the nearest first
        return tuple(
            path
            for path in grouped.get(parts[-1], ())
            if all(a == b for a, b in zip(folders, _normal(path).casefold().split("/")[-2::-1], strict=False))
        )

    @cached_property
    def _by_name(self) -> dict[str, tuple[str, ...]]:
        return self._grouped(lambda path: path.rpartition("/")[2])

    @cached_property
    def _folded(self) -> dict[str, tuple[str, ...]]:
        return self._grouped(str.casefold)

    @cached_property
    def _folded_by_name(self) -> dict[str, tuple[str, ...]]:
        return self._grouped(lambda path: path.rpartition("/")[2].casefold())

    @cached_property
    def _by_stem(self) -> dict[str, tuple[str, ...]]:
        return self._grouped(lambda path: PurePosixPath(path).stem)

    def _grouped(self, key: Callable[[str], str]) -> dict[str, tuple[str, ...]]:
        grouped: dict[str, list[str]] = {}
        for normal, path in self._paths.items():
            grouped.setdefault(key(normal), []).append(path)
        return {name: tuple(paths) for name, paths in grouped.items()}


def _normal(text: str) -> str:
    """One spelling for accented letters: macOS stores them decomposed, most label files do not."""
    return unicodedata.normalize("NFC", text)
