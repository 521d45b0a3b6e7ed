"""Read a data set: which image files there are and how they are labelled. Never opens an image.

Labels come from class folders (the folder's name; deeper folders belong to their class), or from a label file. Folders
named train, validation and test that hold class folders are read as splits; one folder around all the others is
stepped into. A file that cannot be used is listed with its reason and never fatal; only a data set of which nothing can
be learnt is.

Single-label training takes one label an image: the first that its rows name. An image that its rows leave without a
label, or that lies beside the class folders, takes the data set's default label, and is left out if there is none.
Multi-label training takes all labels; rows without any are negative examples ("none of these").
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bundle.manifest import Task
from trainer.data.file_index import FileIndex
from trainer.data.findings import DatasetWarning, SkippedFile, number, some
from trainer.data.folders import Listing, child_folders, has_image_suffix, list_images, natural_key, require_folder
from trainer.data.label_files import EXAMPLE, read_label_file
from trainer.data.split import SPLIT_NAMES, Split
from trainer.errors import EmptyDataset, LabelFileError, TooFewLabels


@dataclass(frozen=True, slots=True)
class LabelledFile:
    """An image that takes part. path: relative to the root, posix form.  split: what folders or label file say."""

    path: str
    labels: tuple[str, ...]
    split: Split | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """What was read. files: by path; in single-label training each has exactly one label."""

    root: Path
    task: Task
    labels: tuple[str, ...]
    default_label: str | None
    files: tuple[LabelledFile, ...]
    skipped: tuple[SkippedFile, ...]
    warnings: tuple[DatasetWarning, ...]


def read_dataset(
    images: Path,
    *,
    labels_file: Path | None = None,
    task: Task | None = None,
    default_label: str | None = None,
    exclude: Iterable[Path] = (),
) -> Dataset:
    """List the images below `images` with their labels.

    labels_file: CSV or JSON (see `trainer.data.label_files`); without it, class folders are labels.
    task: inferred if None: multi-label where an image has several labels or a one-hot row has none, else single-label.
    default_label: see above; without effect in multi-label training.  exclude: files to pass over (split lists).
    Raises EmptyDataset (no folder, no images), LabelFileError, TooFewLabels (single-label with fewer than two).
    """
    require_folder(images)
    default_label = normal_label(default_label) if default_label else None
    draft = _from_label_file(images, labels_file, exclude) if labels_file else _from_folders(images, exclude)
    chosen = task or (Task.MULTI_LABEL if draft.is_multi_label() else Task.SINGLE_LABEL)
    files = draft.single_labels(default_label) if chosen is Task.SINGLE_LABEL else draft.all_labels()
    files.sort(key=lambda file: file.path)
    labels = sorted({label for file in files for label in file.labels}, key=natural_key)
    require_labels(chosen, labels, draft.source)
    return Dataset(
        draft.root, chosen, tuple(labels), default_label, tuple(files), tuple(draft.skipped), tuple(draft.warnings)
    )


def require_labels(task: Task, labels: Sequence[str], source: str) -> None:
    """Raise TooFewLabels unless there is something to tell apart."""
    least = 2 if task is Task.SINGLE_LABEL else 1
    if len(labels) >= least:
        return
    found = f"only {labels[0]!r}" if labels else "none"
    remedy = "Add images of another class" if labels else "Label the images"
    raise TooFewLabels(f"{source}: expected at least {number(least, 'label')} to train with, found {found}. {remedy}.")


def normal_label(label: str) -> str:
    """One spelling for a label: no space around it, accents composed, nothing that UTF-8 cannot write."""
    return unicodedata.normalize("NFC", label.encode(errors="replace").decode()).strip()


class _Draft:
    """Files with all labels that were named, before the task decides what they mean."""

    def __init__(self, root: Path, source: str, listing: Listing) -> None:
        self.root = root
        self.source = source
        self.files: list[LabelledFile] = []
        self.skipped = list(listing.skipped)
        self.warnings: list[DatasetWarning] = []
        self.unlabelled: list[str] = []  # images beside the class folders
        self.none_on_purpose = False

    def is_multi_label(self) -> bool:
        return any(len(file.labels) > 1 for file in self.files) or (
            self.none_on_purpose and any(not file.labels for file in self.files)
        )

    def single_labels(self, default_label: str | None) -> list[LabelledFile]:
        several = tuple(file.path for file in self.files if len(file.labels) > 1)
        if several:
            message = (
                f"{number(len(several), 'image')} with several labels: single-label training takes the first named."
                " Train multi-label to use them all."
            )
            self.warnings.append(DatasetWarning("several_labels", message, several))
        bare = [file for file in self.files if not file.labels]
        bare += [LabelledFile(path, ()) for path in self.unlabelled]
        files = [LabelledFile(file.path, file.labels[:1], file.split) for file in self.files if file.labels]
        if default_label:
            return files + [LabelledFile(file.path, (default_label,), file.split) for file in bare]
        self._leave_out([file.path for file in bare], "Label them, or give a --default-label.")
        return files

    def all_labels(self) -> list[LabelledFile]:
        self._leave_out(self.unlabelled, "Move them into a class folder, or use a label file.")
        return list(self.files)

    def _leave_out(self, paths: Sequence[str], remedy: str) -> None:
        if paths:
            self.skipped += [SkippedFile(path, "no label") for path in paths]
            message = f"{number(len(paths), 'image')} without a label left out: {some(paths)}. {remedy}"
            self.warnings.append(DatasetWarning("unlabelled", message, tuple(paths)))


def _from_folders(images: Path, exclude: Iterable[Path]) -> _Draft:
    root = _step_into(images)
    listing = list_images(root, tuple(exclude))
    _require_images(root, listing)
    draft = _Draft(root, str(root), listing)
    if root != images:
        step = root.relative_to(images).as_posix()
        message = f"{images} holds one folder around the others: {step!r} was stepped into, and its folders are labels."
        draft.warnings.append(DatasetWarning("stepped_into", message, (step,)))
    as_splits = _are_splits(listing.images)
    if as_splits:
        names = sorted({path.split("/", 1)[0] for path in listing.images})
        message = f"The folders {some(names, 6)} are read as splits, and the folders inside them as labels."
        draft.warnings.append(DatasetWarning("split_folders", message, tuple(names)))
    for path in listing.images:
        folders = path.split("/")[:-1]
        split = SPLIT_NAMES[folders.pop(0).casefold()] if as_splits else None
        if folders and normal_label(folders[0]):
            draft.files.append(LabelledFile(path, (normal_label(folders[0]),), split))
        else:
            draft.unlabelled.append(path)
    used = {path.split("/", 1)[0] for path in listing.images}
    empty = tuple(child.name for child in child_folders(root) if child.name not in used)
    if empty:
        message = f"{number(len(empty), 'folder')} without images: {some(empty)}."
        draft.warnings.append(DatasetWarning("empty_folders", message, empty))
    if not draft.files:
        tables = [file.path for file in listing.skipped if file.path.casefold().endswith((".csv", ".tsv", ".json"))]
        remedy = f"Did you mean to use {tables[0]} as label file?" if tables else "Give --labels FILE, or make them."
        raise TooFewLabels(
            f"{root}: expected a folder for each class, such as 'cats' and 'dogs', found"
            f" {number(len(listing.images), 'image')} and no folders. {remedy}"
        )
    return draft


def _step_into(folder: Path) -> Path:
    """Go down while a folder holds one folder only, and that one several (an archive's top folder)."""
    while len(children := child_folders(folder)) == 1:
        inner = children[0]
        beside = any(has_image_suffix(child.name) for child in folder.iterdir())
        if beside or inner.is_symlink() or not child_folders(inner):
            break
        folder = inner
    return folder


def _are_splits(paths: Sequence[str]) -> bool:
    """Whether all images lie in class folders inside folders that are named as splits are."""
    parts = [path.split("/") for path in paths]
    tops = {part[0].casefold() for part in parts}
    return len(tops) > 1 and tops <= SPLIT_NAMES.keys() and all(len(part) >= 3 for part in parts)


def _from_label_file(images: Path, labels_file: Path, exclude: Iterable[Path]) -> _Draft:
    listing = list_images(images, (labels_file, *exclude))
    _require_images(images, listing)
    index = FileIndex(listing.images)
    table = read_label_file(labels_file, index)
    draft = _Draft(images, str(labels_file), listing)
    draft.none_on_purpose = table.one_hot
    draft.warnings += table.warnings

    merged: dict[str, tuple[list[str], Split | None]] = {}
    missing: dict[str, str] = {}
    for row in table.rows:
        paths = index.find(row.name)
        if len(paths) == 1:
            labels, split = merged.get(paths[0], ([], None))
            merged[paths[0]] = (labels + [normal_label(label) for label in row.labels], row.split or split)
        elif paths:
            missing[row.name] = f"named in {labels_file.name}, but {len(paths)} files fit: {some(paths, 2)}"
        else:
            missing[row.name] = f"named in {labels_file.name}, not found"
    if not merged:
        raise LabelFileError(
            f"{labels_file}: expected names of images below {images}, found none of them there: {some(missing)}."
            f" That folder holds {some(listing.images, 2)}. Name the folder that the label file speaks of."
        )
    if not any(labels for labels, _ in merged.values()):
        raise LabelFileError(f"{labels_file}: {EXAMPLE}, found file names alone. Add the labels, or use class folders.")
    if missing:
        draft.skipped += [SkippedFile(name, reason) for name, reason in missing.items()]
        message = f"{labels_file.name} names {number(len(missing), 'image')} that cannot be found: {some(missing)}."
        draft.warnings.append(DatasetWarning("missing_images", message, tuple(missing)))
    unlisted = tuple(path for path in listing.images if path not in merged)
    if unlisted:
        message = f"{number(len(unlisted), 'image')} that {labels_file.name} does not name left out: {some(unlisted)}."
        draft.warnings.append(DatasetWarning("unlisted_images", message, unlisted))
    draft.files = [LabelledFile(path, tuple(dict.fromkeys(labels)), split) for path, (labels, split) in merged.items()]
    return draft


def _require_images(root: Path, listing: Listing) -> None:
    if listing.images:
        return
    found = f"{number(len(listing.skipped), 'other file')}" if listing.skipped else "an empty folder"
    raise EmptyDataset(f"{root}: expected images (JPEG, PNG, WebP, BMP, TIFF or GIF), found {found}. Check the path.")
