"""List what lies in a folder of images: image files, and what is left out and why. Never opens a file.

Hidden files and the droppings of desktops and archivers are passed over in silence. Links are followed only where they
stay inside the folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trainer.data.findings import SkippedFile
from trainer.errors import EmptyDataset

IMAGE_SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif"}
)
_IGNORED: Final = frozenset({"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin"})


@dataclass(frozen=True, slots=True)
class Listing:
    """Image paths relative to a folder (posix form, sorted), and the files left out."""

    images: tuple[str, ...]
    skipped: tuple[SkippedFile, ...]


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key by which "class 2" comes before "class 10", whatever the case of letters."""
    parts: list[str | int] = list(re.split(r"([0-9]+)", name.casefold()))
    parts[1::2] = [int(part) for part in parts[1::2]]
    return parts, name


def is_ignored(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _IGNORED


def has_image_suffix(name: str) -> bool:
    return os.path.splitext(name)[1].casefold() in IMAGE_SUFFIXES  # noqa: PTH122  (called 100,000 times)


def require_folder(folder: Path) -> None:
    """Raise EmptyDataset unless `folder` is a folder."""
    if folder.is_dir():
        return
    if not folder.exists():
        raise EmptyDataset(f"{folder}: expected a folder of images, found nothing there. Check the path.")
    remedy = (
        "Unpack it, and name the folder." if folder.suffix.casefold() in {".zip", ".tar", ".gz"} else "Name its folder."
    )
    raise EmptyDataset(f"{folder}: expected a folder of images, found a file. {remedy}")


def list_images(root: Path, exclude: Collection[Path] = ()) -> Listing:
    """Walk `root` and all folders below it.

    exclude: files to pass over in silence (the label file, split lists).
    """
    real_root = os.path.realpath(root)
    passed_over = {os.path.realpath(path) for path in exclude}
    images: list[str] = []
    skipped: list[SkippedFile] = []
    stack: list[tuple[str, str, tuple[str, ...]]] = [(str(root), "", (real_root,))]
    while stack:
        folder, prefix, ancestors = stack.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            skipped.append(SkippedFile(_printable(prefix), f"the folder cannot be read: {error.strerror}"))
            continue
        for entry in entries:
            if is_ignored(entry.name):
                continue
            path = prefix + entry.name
            real = os.path.realpath(entry.path) if entry.is_symlink() else ""
            if real and not (real + os.sep).startswith(real_root + os.sep):
                skipped.append(SkippedFile(_printable(path), "a link that leaves the folder is not followed"))
            elif entry.is_dir():
                real = real or f"{ancestors[-1]}{os.sep}{entry.name}"
                if real in ancestors:
                    skipped.append(SkippedFile(_printable(path), "a link to a folder above itself is not followed"))
                else:
                    stack.append((entry.path, path + "/", (*ancestors, real)))
            elif not entry.is_file():
                skipped.append(SkippedFile(_printable(path), "not a file (a broken link or a device)"))
            elif passed_over and os.path.realpath(entry.path) in passed_over:
                continue
            elif not has_image_suffix(entry.name):
                skipped.append(SkippedFile(_printable(path), "not an image by its name's ending"))
            elif _printable(path) != path:
                skipped.append(SkippedFile(_printable(path), "the file's name is not valid UTF-8: rename it"))
            else:
                images.append(path)
    return Listing(tuple(sorted(images)), tuple(sorted(skipped, key=lambda file: file.path)))


def child_folders(folder: Path) -> list[Path]:
    """The folders directly inside, ignored ones left out, in natural order."""
    return sorted(
        (child for child in folder.iterdir() if child.is_dir() and not is_ignored(child.name)),
        key=lambda child: natural_key(child.name),
    )


def _printable(path: str) -> str:
    return path.encode(errors="surrogateescape").decode(errors="replace")
