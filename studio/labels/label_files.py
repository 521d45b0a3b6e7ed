"""Label files in and out: CSV (name, then labels) and JSON ({name: [labels]}), as the trainer reads them.

A file that comes in is read by the trainer's own reader, so both understand the same forms. What it cannot mean (names
that are not in the project, names that fit several images) is reported, and the rest is done.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, select

from studio.csv_cells import plain_cell, text_cell
from studio.database.engine import Database
from studio.database.tables import image_labels, images
from studio.errors import UploadBroken
from studio.labels.events import Event, Kind
from studio.labels.id_sets import one_of
from studio.labels.vocabulary import ensure_labels, list_labels, normal_name
from trainer.data.file_index import FileIndex
from trainer.data.label_files import LabelRow, read_label_file
from trainer.data.split import Split
from trainer.errors import LabelFileError

MOST_REPORTED = 1000
AT_ONCE = 5000
Mode = Literal["add", "replace"]


@dataclass(frozen=True, slots=True)
class LabelFileReport:
    """images: that a row meant.  changed: of those, whose labels or flag are other ones now.

    unknown, ambiguous: names that fit no image, or several; the first thousand.
    """

    rows: int
    images: int
    changed: int
    unknown: tuple[str, ...]
    ambiguous: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReadLabels:
    """What a file means here. meant: image -> its row.  wanted: image -> its labels."""

    rows: int
    meant: dict[int, LabelRow]
    wanted: dict[int, set[str]]
    unknown: list[str]
    ambiguous: list[str]
    warnings: tuple[str, ...]


def read_labels(ids: Mapping[str, int], file: Path) -> ReadLabels:
    """Read a file, which may take long: within no transaction. ids: of the project's images, by their names.

    Raises UploadBroken for a file that is none of these.
    """
    index = FileIndex(ids)
    try:
        table = read_label_file(file, index)
    except LabelFileError as error:
        raise UploadBroken(str(error).replace(str(file), "label file").replace(file.name, "label file")) from error
    plain = plain_cell if file.suffix == ".csv" else str
    meant: dict[int, LabelRow] = {}
    wanted: dict[int, set[str]] = {}
    unknown: list[str] = []
    ambiguous: list[str] = []
    for row in table.rows:
        found = index.find(row.name) or index.find(plain(row.name))
        if len(found) != 1:
            (ambiguous if found else unknown).append(row.name)
            continue
        image_id = ids[found[0]]
        meant[image_id] = row
        wanted.setdefault(image_id, set()).update(map(plain, row.labels))
    warnings = tuple(warning.message.replace(file.name, "the label file") for warning in table.warnings)
    return ReadLabels(len(table.rows), meant, wanted, unknown, ambiguous, warnings)


def apply_labels(
    connection: Connection, project_id: int, user_id: int, read: ReadLabels, mode: Mode, now: datetime
) -> tuple[Event, LabelFileReport]:
    """Do what the file says; the caller holds the project's lock. mode `replace`: other labels of the images go.

    A column of splits sets the validation flag. Images that went since the file was read are unknown.
    """
    among = (images.c.project_id == project_id) & one_of(connection, images.c.id, read.meant)
    there = set(connection.scalars(select(images.c.id).where(among)))
    unknown = [*read.unknown, *(row.name for image_id, row in read.meant.items() if image_id not in there)]
    meant = {image_id: row for image_id, row in read.meant.items() if image_id in there}
    wanted = {image_id: names for image_id, names in read.wanted.items() if image_id in there}
    event = Event(connection, project_id, user_id, Kind.LABEL_FILE, now)
    _label(connection, project_id, event, wanted, mode, now)
    for flag in (True, False):
        splits = (Split.VALIDATION,) if flag else (Split.TRAIN, Split.TEST)
        event.set_validation(flag, [image_id for image_id, row in meant.items() if row.split in splits])
    report = LabelFileReport(
        rows=read.rows,
        images=len(wanted),
        changed=len(event.changed),
        unknown=tuple(unknown[:MOST_REPORTED]),
        ambiguous=tuple(read.ambiguous[:MOST_REPORTED]),
        warnings=read.warnings,
    )
    return event, report


def write_csv(database: Database, project_id: int) -> Iterator[str]:
    """A line an image, by name: its name, then its labels in the order of the panel."""
    for name, labels in _labels_of_images(database, project_id):
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(map(text_cell, [name, *labels]))
        yield line.getvalue()


def write_json(database: Database, project_id: int) -> Iterator[str]:
    """One object, an image a line."""
    before = "{\n"
    for name, labels in _labels_of_images(database, project_id):
        yield f"{before}{json.dumps(name, ensure_ascii=False)}: {json.dumps(labels, ensure_ascii=False)}"
        before = ",\n"
    yield "{}\n" if before == "{\n" else "\n}\n"


def _label(
    connection: Connection, project_id: int, event: Event, wanted: dict[int, set[str]], mode: Mode, now: datetime
) -> None:
    names = list(dict.fromkeys(name for labels in wanted.values() for name in sorted(labels)))
    by_normal_name = ensure_labels(connection, project_id, names, now)
    label_ids = {name: by_normal_name[normal_name(name)] for name in names}
    of_label: dict[int, list[int]] = {label_id: [] for label_id in label_ids.values()}
    for image_id, labels in wanted.items():
        for label_id in {label_ids[name] for name in labels}:
            of_label[label_id].append(image_id)
    if mode == "replace":
        for row in list_labels(connection, project_id):
            keep = set(of_label.get(row.id, ()))
            event.remove_label(row.id, [image_id for image_id in wanted if image_id not in keep])
    for label_id, image_ids in of_label.items():
        event.add_label(label_id, image_ids)


def _labels_of_images(database: Database, project_id: int) -> Iterator[tuple[str, list[str]]]:
    """By name, page by page, so that a hundred thousand images take no memory.

    No connection is held while a page is sent: a client that reads slowly would keep SQLite's log from ever shrinking.
    """
    last = ""
    while True:
        own = (images.c.project_id == project_id) & (images.c.name > last)
        with database.reading() as connection:
            panel = {row.id: (place, row.name) for place, row in enumerate(list_labels(connection, project_id))}
            page = connection.execute(
                select(images.c.id, images.c.name).where(own).order_by(images.c.name).limit(AT_ONCE)
            ).all()
            labels = _labels_of(connection, [row.id for row in page])
        for row in page:
            places = sorted(panel[label_id] for label_id in labels.get(row.id, ()) if label_id in panel)
            yield row.name, [name for _, name in places]
        if len(page) < AT_ONCE:
            return
        last = page[-1].name


def _labels_of(connection: Connection, ids: Sequence[int]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    statement = select(image_labels.c.image_id, image_labels.c.label_id)
    for image_id, label_id in connection.execute(statement.where(one_of(connection, image_labels.c.image_id, ids))):
        found.setdefault(image_id, []).append(label_id)
    return found
