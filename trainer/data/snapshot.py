"""The snapshot: the immutable record of what a model is trained on, image by image.

Order: unreadable files drop out; near-duplicates are grouped; lists, declared splits or fractions divide the rows;
checks follow. Rows stand by path, but groups and splits depend on contents alone (digest first, then path): moving the
folder or listing it in another order changes nothing. Never opens an image.

On disk: one JSON document, one image a line, with a digest of itself.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from bundle.files import atomic_file
from bundle.manifest import Task
from trainer.data.checks import check_equal_files, check_labels, check_look_alikes, check_splits
from trainer.data.duplicates import near_duplicate_groups
from trainer.data.findings import DatasetWarning, SkippedFile, number, some
from trainer.data.folders import natural_key
from trainer.data.sources import Dataset, require_labels
from trainer.data.split import SPLITS, Split, assign_splits
from trainer.data.split_lists import SplitLists
from trainer.errors import EmptyDataset, SnapshotError

SNAPSHOT_VERSION: Final = 1


@dataclass(frozen=True, eq=False)
class Snapshot:
    """N images and C labels; arrays are read-only.

    paths: relative to `root`, posix form, ascending.  sha256: of the files' bytes.  label_matrix: (N, C) bool.
    splits: (N,) int8, 0 train, 1 validation, 2 test.  groups: (N,) int64, equal for images that look the same.
    """

    root: str
    task: Task
    labels: tuple[str, ...]
    default_label: str | None
    paths: tuple[str, ...]
    sha256: tuple[str, ...]
    label_matrix: NDArray[np.bool_]
    splits: NDArray[np.int8]
    groups: NDArray[np.int64]
    skipped: tuple[SkippedFile, ...] = ()
    warnings: tuple[DatasetWarning, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.paths)
        shapes = (len(self.sha256), self.label_matrix.shape, self.splits.shape, self.groups.shape)
        expected = (count, (count, len(self.labels)), (count,), (count,))
        if shapes != expected:
            raise SnapshotError(f"snapshot: expected sizes {expected} for {count} images, found {shapes}.")
        for array in (self.label_matrix, self.splits, self.groups):
            array.setflags(write=False)

    def __len__(self) -> int:
        return len(self.paths)

    @cached_property
    def sha256_digest(self) -> str:
        """SHA-256 of what the model is trained on: task, labels and rows; not the root, the groups or the warnings."""
        columns = [self.paths, self.sha256, self._label_numbers, self.splits.tolist()]
        document = [SNAPSHOT_VERSION, self.task.value, self.labels, self.default_label, *columns]
        return hashlib.sha256(json.dumps(document, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()

    def rows(self, split: Split) -> NDArray[np.int64]:
        """Row numbers of a split, ascending, (n,) int64."""
        return np.flatnonzero(self.splits == SPLITS.index(split))

    def label_counts(self, split: Split | None = None) -> dict[str, int]:
        """Images per label, in a split or in all."""
        matrix = self.label_matrix if split is None else self.label_matrix[self.rows(split)]
        return dict(zip(self.labels, matrix.sum(axis=0).tolist(), strict=True))

    def save(self, path: Path) -> None:
        """Write the document in one step: a reader sees the old file or the whole new one."""
        head = {
            "snapshot_version": SNAPSHOT_VERSION,
            "sha256_digest": self.sha256_digest,
            "task": self.task.value,
            "root": self.root,
            "labels": self.labels,
            "default_label": self.default_label,
            "skipped": [asdict(file) for file in self.skipped],
            "warnings": [asdict(warning) for warning in self.warnings],
        }
        with atomic_file(path) as raw:
            # what is no UTF-8 (a folder's name in a warning) becomes a JSON escape, and is itself again when read
            file = io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", newline="\n")
            file.write("{\n")
            file.writelines(f"{_line(key)}: {_line(value)},\n" for key, value in head.items())
            file.write('"images": [\n')
            file.write(",\n".join(self._image_lines()))
            file.write("\n]}\n")
            file.detach()

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a document that `save` wrote. Raises SnapshotError for anything else, a changed one included."""
        try:
            snapshot = cls._from_document(json.loads(path.read_bytes()))
            recorded = snapshot.pop("sha256_digest")
            loaded = cls(**snapshot)
        except OSError as error:
            raise SnapshotError(f"{path}: expected a snapshot, found {error.strerror}. Train again.") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, SnapshotError) as error:
            raise SnapshotError(
                f"{path}: expected a snapshot, found one that is damaged ({error!r}). Train again."
            ) from error
        if loaded.sha256_digest != recorded:
            raise SnapshotError(
                f"{path}: its digest says {str(recorded)[:12]}, its contents have {loaded.sha256_digest[:12]}: it was"
                " changed after it was written. Train again."
            )
        return loaded

    @staticmethod
    def _from_document(document: Mapping[str, Any]) -> dict[str, Any]:
        version = document["snapshot_version"]
        if version != SNAPSHOT_VERSION:
            raise SnapshotError(f"snapshot version {version!r}, this install reads {SNAPSHOT_VERSION}")
        labels, images = tuple(document["labels"]), document["images"]
        numbers = {label: k for k, label in enumerate(labels)}
        codes = {split.value: code for code, split in enumerate(SPLITS)}
        matrix = np.zeros((len(images), len(labels)), dtype=np.bool_)
        for row, image in enumerate(images):
            for label in image["labels"]:
                matrix[row, numbers[label]] = True
        return {
            "sha256_digest": document["sha256_digest"],
            "root": document["root"],
            "task": Task(document["task"]),
            "labels": labels,
            "default_label": document["default_label"],
            "paths": tuple(image["path"] for image in images),
            "sha256": tuple(image["sha256"] for image in images),
            "label_matrix": matrix,
            "splits": np.array([codes[image["split"]] for image in images], dtype=np.int8),
            "groups": np.array([image["group"] for image in images], dtype=np.int64),
            "skipped": tuple(SkippedFile(**file) for file in document["skipped"]),
            "warnings": tuple(DatasetWarning(w["code"], w["message"], tuple(w["items"])) for w in document["warnings"]),
        }

    def _image_lines(self) -> Iterator[str]:
        """One JSON object an image, written out by hand: three times as fast as an encoder a line."""
        names = [split.value for split in SPLITS]
        quoted = [_line(label) for label in self.labels]
        columns = (self.paths, self.sha256, self._label_numbers, self.splits.tolist(), self.groups.tolist())
        for path, digest, numbers, split, group in zip(*columns, strict=True):
            labels = ", ".join([quoted[k] for k in numbers])
            yield (
                f'{{"path": {encode_basestring(path)}, "sha256": {encode_basestring(digest)}, "labels": [{labels}],'
                f' "split": "{names[split]}", "group": {group}}}'
            )

    @cached_property
    def _label_numbers(self) -> list[list[int]]:
        numbers: list[list[int]] = [[] for _ in self.paths]
        for row, label in zip(*(index.tolist() for index in np.nonzero(self.label_matrix)), strict=True):
            numbers[row].append(label)
        return numbers


def build_snapshot(
    dataset: Dataset,
    *,
    sha256: Sequence[str],
    fingerprints: NDArray[np.uint8],
    unreadable: Mapping[str, str],
    features: NDArray[Any] | None = None,
    validation_fraction: float = 0.2,
    validation_list: Collection[str] | None = None,
    test_list: Collection[str] | None = None,
    test_fraction: float = 0.0,
    seed: int = 0,
) -> Snapshot:
    """Make the snapshot of a data set whose files have been read.

    sha256, fingerprints: one for each of `dataset.files`, in their order; (F,) and (F, FINGERPRINT_BYTES) uint8.
    unreadable: path -> reason; whatever stands in their rows is ignored.
    features: (F, D) of a frozen backbone, to look for more look-alikes. Only a warning comes of it: the same images are
    split in the same way whatever backbone is taken.
    validation_list, test_list: names as `read_split_list` gives them; each replaces its fraction and any split that
    folders or label file declare.  seed: of the fractions' draw.
    Raises EmptyDataset if nothing can be read, TooFewLabels, SplitError (a list names nothing, leaves nothing).
    """
    files = dataset.files
    if len(sha256) != len(files) or len(fingerprints) != len(files):
        raise ValueError(
            f"expected {len(files)} digests and fingerprints, one a file, found {len(sha256)} and {len(fingerprints)}"
        )
    warnings = list(dataset.warnings)
    skipped = dataset.skipped + tuple(SkippedFile(path, reason) for path, reason in unreadable.items())
    if unreadable:
        message = f"{number(len(unreadable), 'unreadable image')} left out: {some(unreadable)}."
        warnings.append(DatasetWarning("unreadable", message, tuple(unreadable)))
    kept = [row for row, file in enumerate(files) if file.path not in unreadable]
    if not kept:
        raise EmptyDataset(
            f"{dataset.root}: expected images, found {number(len(files), 'file')} of which none can be read:"
            f" {some((f'{path} ({reason})' for path, reason in unreadable.items()), 2)}. Check the files."
        )
    labels = sorted({label for row in kept for label in files[row].labels}, key=natural_key)
    require_labels(dataset.task, labels, str(dataset.root))

    kept.sort(key=lambda row: (sha256[row], files[row].path))  # by content: the draw does not depend on names
    lists = SplitLists(files, kept, dataset.skipped)
    validation_rows = lists.rows(Split.VALIDATION, validation_list)
    test_rows = lists.rows(Split.TEST, test_list)
    matrix = np.zeros((len(kept), len(labels)), dtype=np.bool_)
    numbers = {label: k for k, label in enumerate(labels)}
    for place, row in enumerate(kept):
        for label in files[row].labels:
            matrix[place, numbers[label]] = True
    digests = [sha256[row] for row in kept]
    groups = near_duplicate_groups(np.ascontiguousarray(fingerprints[kept]), digests)
    splits = assign_splits(
        matrix,
        groups,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        validation_rows=validation_rows,
        test_rows=test_rows,
        seed=seed,
    )

    paths = [files[row].path for row in kept]
    order = sorted(range(len(kept)), key=paths.__getitem__)
    paths, digests = [paths[k] for k in order], [digests[k] for k in order]
    matrix, splits, groups = matrix[order], splits[order], groups[order]
    warnings += lists.warnings
    warnings += check_labels(labels, matrix)
    warnings += check_equal_files(paths, digests, matrix)
    warnings += check_splits(paths, labels, matrix, groups, splits)
    if features is not None:
        rows = np.asarray(kept)[order]
        warnings += check_look_alikes(paths, matrix, groups, splits, features, fingerprints, rows)
    return Snapshot(
        root=str(dataset.root),
        task=dataset.task,
        labels=tuple(labels),
        default_label=dataset.default_label,
        paths=tuple(paths),
        sha256=tuple(digests),
        label_matrix=matrix,
        splits=splits,
        groups=groups,
        skipped=skipped,
        warnings=tuple(warnings),
    )


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
