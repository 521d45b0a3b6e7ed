"""Versions of a project's data set: frozen when a training is put into the queue, so that what it learns is what the
person saw. Kept once for all trainings on the same images and labels; two versions can be told apart image by image.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import Connection, Row, insert, select

from bundle.manifest import Frozen
from studio.database.tables import datasets, image_labels, images, jobs, labels
from studio.errors import Invalid, NotFound


@dataclass(frozen=True, slots=True)
class DatasetImage:
    """image: public id.  format: of bundle.image_header.  labels: names, the default label first.

    validation: the flag that a person set.
    """

    image: str
    sha256: str
    format: str
    labels: tuple[str, ...]
    validation: bool


Change = Literal["added", "removed", "relabelled"]
CHANGES: Final[tuple[Change, ...]] = ("added", "removed", "relabelled")


class ChangedImage(Frozen):
    """image: public id.  change: relabelled is other labels, or another validation flag.

    before, after: its labels, the default label first; None where it is not in that version.
    """

    image: str
    change: Change
    before: tuple[str, ...] | None
    after: tuple[str, ...] | None


def freeze(
    connection: Connection, project_id: int, now: datetime, *, wanted: Collection[str] | None, unlabelled: bool
) -> Row[Any]:
    """The row of the version that holds the project's images as they are now.

    wanted: names of the labels that count, all where None; an image without any of them is left out, unless
    `unlabelled`. Raises NotFound for a label that is not there, Invalid where no image is left.
    """
    found = images_now(connection, project_id, wanted, unlabelled)
    if not found:
        raise Invalid("No image has one of these labels. Label some first.", "DATASET_EMPTY")
    content = json.dumps([asdict(image) for image in found], ensure_ascii=False, separators=(",", ":")).encode()
    digest = hashlib.sha256(content).hexdigest()
    same = select(datasets).where(datasets.c.project_id == project_id, datasets.c.sha256 == digest)
    row = connection.execute(same).one_or_none()
    if row is not None:
        return row
    return connection.execute(
        insert(datasets)
        .values(
            project_id=project_id, created_at=now, sha256=digest, image_count=len(found),
            content=zlib.compress(content, 6),
        )
        .returning(datasets)
    ).one()  # fmt: skip


def find_dataset(connection: Connection, project_id: int, public_id: str) -> int:
    """Its id. Raises NotFound where the project has no such version."""
    own = (datasets.c.project_id == project_id) & (datasets.c.public_id == public_id)
    found = connection.scalar(select(datasets.c.id).where(own))
    if found is None:
        raise NotFound("There is no such version of the project's images and labels.", "DATASET_NOT_FOUND")
    return int(found)


def read_dataset(connection: Connection, dataset_id: int) -> list[DatasetImage]:
    content = connection.scalar(select(datasets.c.content).where(datasets.c.id == dataset_id))
    if content is None:
        raise NotFound("There is no such version of the data set.")
    return [DatasetImage(**{**each, "labels": tuple(each["labels"])}) for each in json.loads(zlib.decompress(content))]


def images_as_asked(connection: Connection, project_id: int, dataset_id: int) -> list[DatasetImage]:
    """What a training would be given now that asked as the last one on this version did."""
    asked = connection.scalar(
        select(jobs.c.input).where(jobs.c.dataset_id == dataset_id).order_by(jobs.c.id.desc()).limit(1)
    )
    wanted, unlabelled = (asked or {}).get("labels"), bool((asked or {}).get("unlabelled_as_negative"))
    if wanted is not None:
        own = (labels.c.project_id == project_id) & labels.c.removed_at.is_(None)
        wanted = set(wanted) & set(connection.scalars(select(labels.c.name).where(own)))
    return images_now(connection, project_id, wanted, unlabelled)


def difference(before: Sequence[DatasetImage], after: Sequence[DatasetImage]) -> list[ChangedImage]:
    """What changed from one version to the other, in the order of CHANGES, then by image."""
    old, new = ({image.image: image for image in version} for version in (before, after))
    found = []
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name), new.get(name)
        if was != now:
            change: Change = "added" if was is None else "removed" if now is None else "relabelled"
            labels_were, labels_are = (None if image is None else image.labels for image in (was, now))
            found.append(ChangedImage(image=name, change=change, before=labels_were, after=labels_are))
    return sorted(found, key=lambda changed: CHANGES.index(changed.change))


def images_now(
    connection: Connection, project_id: int, wanted: Collection[str] | None, unlabelled: bool
) -> list[DatasetImage]:
    """Those that a training of these labels would be given now. Raises NotFound for a label that is not there."""
    own = (labels.c.project_id == project_id) & labels.c.removed_at.is_(None)
    names = {
        row.id: row.name
        for row in connection.execute(select(labels.c.id, labels.c.name).where(own).order_by(labels.c.position))
    }
    if wanted is not None:
        missing = set(wanted) - set(names.values())
        if missing:
            raise NotFound(f"There is no label {min(missing)!r} in this project.")
        names = {number: name for number, name in names.items() if name in wanted}
    given: dict[int, list[int]] = {}
    pairs = select(image_labels.c.image_id, image_labels.c.label_id).where(
        image_labels.c.label_id.in_(select(labels.c.id).where(own))
    )
    for image_id, label_id in connection.execute(pairs):
        if label_id in names:
            given.setdefault(image_id, []).append(label_id)
    place = {label_id: number for number, label_id in enumerate(names)}
    found = []
    columns = (images.c.id, images.c.public_id, images.c.sha256, images.c.format)
    more = (images.c.validation, images.c.default_label_id)
    for row in connection.execute(
        select(*columns, *more).where(images.c.project_id == project_id).order_by(images.c.id)
    ):
        own_labels = given.get(row.id, [])
        if own_labels or unlabelled:
            order = sorted(own_labels, key=place.__getitem__)
            if row.default_label_id in order:
                order.remove(row.default_label_id)
                order.insert(0, row.default_label_id)
            chosen = tuple(names[label] for label in order)
            found.append(DatasetImage(row.public_id, row.sha256, row.format, chosen, row.validation))
    return found
