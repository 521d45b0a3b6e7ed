"""Read a label file: CSV (comma, semicolon or tab) or JSON, as rows of (file name, labels, split).

CSV: the file name first, labels in the other cells; a cell may hold several, as in "cat|dog", "cat,dog" or "cat;dog".
A first line of column names is recognised where its first cell is no image: by a known word ("filename", "image",
"path", ...) or because the next line names an image. With column names, "label"-like columns are taken alone, a
"split"-like column holds train, validation or test, and a table of 0 and 1 under other names is read as one column a
label (one-hot).
JSON: {"a.jpg": ["cat"]}, {"a.jpg": "cat"} or [{"file": "a.jpg", "labels": ["cat"]}]; names are never taken apart.

Rows come out in the file's order and may repeat a name; `trainer.data.sources` merges them. Never opens an image.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trainer.data.file_index import FileIndex
from trainer.data.findings import DatasetWarning, number, some
from trainer.data.folders import has_image_suffix
from trainer.data.split import SPLIT_NAMES, Split
from trainer.errors import LabelFileError

EXAMPLE: Final = "Expected lines such as 'photo1.jpg,cat' or 'photo1.jpg,cat,dog'"
_FILE_COLUMNS: Final = (
    *(
        "filename",
        "file_name",
        "file name",
        "file",
        "path",
        "filepath",
        "file_path",
        "image",
        "image_name",
        "image name",
    ),
    *("image_path", "image path", "img", "photo", "picture", "image_id", "image id", "name", "id"),
)
_LABEL_COLUMNS: Final = frozenset(
    {"label", "labels", "class", "classes", "category", "categories", "tag", "tags", "target", "y"}
)
_SPLIT_COLUMNS: Final = frozenset({"split", "subset", "set", "partition", "fold"})
_ZERO_ONE: Final = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True, "": False}


@dataclass(frozen=True, slots=True)
class LabelRow:
    """What one row says of one image. No labels: one-hot zeros, an empty cell or an empty list."""

    name: str
    labels: tuple[str, ...]
    split: Split | None = None


@dataclass(frozen=True, slots=True)
class LabelTable:
    """one_hot: whether a row without labels says so on purpose ("none of these")."""

    rows: tuple[LabelRow, ...]
    one_hot: bool = False
    warnings: tuple[DatasetWarning, ...] = ()


def read_label_file(path: Path, index: FileIndex) -> LabelTable:
    """Read `path`; `index` tells whether a cell names an image, which settles header and delimiter.

    Raises LabelFileError where the file is missing, empty, no text, or not one of the forms above.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise LabelFileError(f"{path}: expected a label file, found nothing there. Check the path.") from None
    except OSError as error:
        raise LabelFileError(
            f"{path}: expected a label file, found {error.strerror}. Name a CSV or JSON file."
        ) from error
    text, warnings = _decode(path, data)
    if not text.strip():
        raise LabelFileError(f"{path}: {EXAMPLE}, found an empty file. Fill it, or leave the label file out.")
    if path.suffix.casefold() == ".json" or text.lstrip()[0] in "{[":
        return LabelTable(tuple(_json_rows(path, text)), warnings=tuple(warnings))
    return _read_csv(path, text, index, warnings)


def _decode(path: Path, data: bytes) -> tuple[str, list[DatasetWarning]]:
    if data.startswith(b"PK"):
        raise LabelFileError(f"{path}: expected text, found a zip or Excel file. Save the table as CSV (UTF-8).")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace"), []
    if b"\0" in data:
        raise LabelFileError(f"{path}: expected text, found binary data. Save the table as CSV (UTF-8).")
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        message = (
            f"{path.name} is not UTF-8 (line {line}) and was read as Latin-1. If labels look wrong, save it as UTF-8."
        )
        return data.decode("latin-1"), [DatasetWarning("label_file_encoding", message)]


# --- CSV ---


def _read_csv(path: Path, text: str, index: FileIndex, warnings: list[DatasetWarning]) -> LabelTable:
    lines = _parse(path, text, _delimiter(text, index))
    if not lines:
        raise LabelFileError(f"{path}: {EXAMPLE}, found only empty rows.")
    header = _header(lines, index)
    if header is None:
        rows = [LabelRow(cells[0], _split_cells(cells[1:])) for _, cells in lines]
        kept, warned = _named(path, lines, rows, warnings)
        return LabelTable(kept, warnings=warned)
    lines = lines[1:]
    if not lines:
        raise LabelFileError(f"{path}: {EXAMPLE}, found a line of column names alone.")
    folded = [name.casefold() for name in header]
    file_column = next((folded.index(name) for name in _FILE_COLUMNS if name in folded), 0)
    split_column = _split_column(folded, lines)
    others = [k for k in range(len(header)) if k not in (file_column, split_column) and header[k]]
    one_hot = bool(others) and not _LABEL_COLUMNS & {folded[k] for k in others} and _mostly_zero_one(lines, others)
    labelled = [k for k in others if folded[k] in _LABEL_COLUMNS]
    if not labelled:
        labelled = others
    elif len(labelled) < len(others):
        ignored = tuple(header[k] for k in others if k not in labelled)
        message = f"{path.name}: labels are read from {some(header[k] for k in labelled)}; other columns are ignored."
        warnings.append(DatasetWarning("ignored_columns", message, ignored))

    rows = []
    for line, cells in lines:
        cells = cells + [""] * (len(header) - len(cells))
        if one_hot:
            labels = tuple(header[k] for k in labelled if _zero_one(path, line, header[k], cells[k]))
        else:
            # Cells beyond the header's last name are labels too: "filename,labels" over rows of many lengths.
            labels = _split_cells([cells[k] for k in labelled] + cells[len(header) :])
        split = SPLIT_NAMES.get(cells[split_column].casefold()) if split_column is not None else None
        rows.append(LabelRow(cells[file_column], labels, split))
    kept, warned = _named(path, lines, rows, warnings)
    return LabelTable(kept, one_hot, warned)


def _parse(path: Path, text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """Stripped cells of every row that is not empty, with its line number."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    lines: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if any(cells):
                lines.append((reader.line_num, cells))
    except csv.Error as error:
        raise LabelFileError(f"{path}: line {reader.line_num}: {EXAMPLE}, found {error}. Mend that line.") from error
    return lines


def _delimiter(text: str, index: FileIndex) -> str:
    """The delimiter by which most of the first rows begin with an image's name and go on."""
    head = text.splitlines()[:200]

    def score(delimiter: str) -> tuple[int, int]:
        try:
            rows = [row for row in csv.reader(head, delimiter=delimiter, skipinitialspace=True) if row]
        except csv.Error:
            return (0, 0)
        wide = [row for row in rows if len(row) > 1]
        named = sum(bool(has_image_suffix(row[0].strip()) or index.find(row[0])) for row in wide)
        return named, len(wide)

    return max((",", ";", "\t"), key=score)


def _header(lines: Sequence[tuple[int, list[str]]], index: FileIndex) -> list[str] | None:
    """The column names, if the first row holds such: known words, or any word above the names of existing images."""
    cells = lines[0][1]
    if has_image_suffix(cells[0]) or index.find(cells[0]):
        return None
    folded = [cell.casefold() for cell in cells]
    known = folded[0] in _FILE_COLUMNS or any(name in folded[1:] for name in _FILE_COLUMNS[:10])
    plain_word = bool(cells[0]) and not any(letter.isdigit() for letter in cells[0])
    above_images = len(cells) > 1 and len(lines) > 1 and bool(index.find(lines[1][1][0]))
    return list(cells) if known or (plain_word and above_images) else None


def _split_column(folded: Sequence[str], lines: Sequence[tuple[int, list[str]]]) -> int | None:
    for column, name in enumerate(folded):
        if name in _SPLIT_COLUMNS:
            values = {cells[column].casefold() for _, cells in lines if len(cells) > column}
            if values <= {*SPLIT_NAMES, ""}:
                return column
    return None


def _mostly_zero_one(lines: Sequence[tuple[int, list[str]]], columns: Sequence[int]) -> bool:
    cells = [cells[k].casefold() for _, cells in lines for k in columns if k < len(cells)]
    known = sum(cell in _ZERO_ONE for cell in cells)
    return any(cells) and known >= 0.9 * len(cells)


def _zero_one(path: Path, line: int, name: str, cell: str) -> bool:
    value = _ZERO_ONE.get(cell.casefold())
    if value is None:
        raise LabelFileError(
            f"{path}: line {line}, column {name!r}: expected 0 or 1, as in the rest of the table, found {cell!r}."
            " Mend that cell."
        )
    return value


def _split_cells(cells: Sequence[str]) -> tuple[str, ...]:
    labels: list[str] = []
    for cell in cells:
        for part in cell.replace("|", ",").replace(";", ",").split(","):
            if part.strip():
                labels.append(part.strip())
    return tuple(dict.fromkeys(labels))


def _named(
    path: Path, lines: Sequence[tuple[int, list[str]]], rows: Sequence[LabelRow], warnings: list[DatasetWarning]
) -> tuple[tuple[LabelRow, ...], tuple[DatasetWarning, ...]]:
    """Rows that name a file; the others are a warning."""
    nameless = tuple(f"line {line}" for (line, _), row in zip(lines, rows, strict=True) if not row.name)
    if nameless:
        message = f"{path.name}: {number(len(nameless), 'row')} without a file name ignored: {some(nameless)}."
        warnings.append(DatasetWarning("nameless_rows", message, nameless))
    return tuple(row for row in rows if row.name), tuple(warnings)


# --- JSON ---

_JSON_EXAMPLE: Final = """Expected {"photo1.jpg": ["cat"]} or [{"file": "photo1.jpg", "labels": ["cat"]}]"""


class _Object(list[tuple[str, object]]):
    """A JSON object with its pairs in order, so that a name that stands twice loses nothing."""

    def get(self, names: Sequence[str]) -> object:
        folded = {key.casefold(): value for key, value in self}
        return next((folded[name] for name in names if name in folded), None)


def _json_rows(path: Path, text: str) -> Iterator[LabelRow]:
    try:
        document = json.loads(text, object_pairs_hook=_Object)
    except (ValueError, RecursionError) as error:
        raise LabelFileError(f"{path}: {_JSON_EXAMPLE}, found text that is not JSON: {error}.") from error
    if not document:
        raise LabelFileError(f"{path}: {_JSON_EXAMPLE}, found nothing in it. Fill it, or leave the label file out.")
    if isinstance(document, _Object):
        for name, value in document:
            yield _json_row(path, name, value)
    elif isinstance(document, list):
        for place, item in enumerate(document, start=1):
            found = item.get(_FILE_COLUMNS) if isinstance(item, _Object) else None
            if not isinstance(found, str):
                raise LabelFileError(f"{path}: {_JSON_EXAMPLE}, found no file name in entry {place}.")
            yield _json_row(path, found, item)
    else:
        raise LabelFileError(f"{path}: {_JSON_EXAMPLE}, found {text.strip()[:40]!r}.")


def _json_row(path: Path, name: str, value: object) -> LabelRow:
    split = None
    if isinstance(value, _Object):
        declared = value.get(sorted(_SPLIT_COLUMNS))
        split = SPLIT_NAMES.get(declared.casefold()) if isinstance(declared, str) else None
        value = value.get(sorted(_LABEL_COLUMNS))
    values = value if isinstance(value, list) else [] if value is None else [value]
    if isinstance(values, _Object) or not all(isinstance(label, str | int) for label in values):
        raise LabelFileError(f"{path}: {_JSON_EXAMPLE}, found {str(value)[:60]} as labels of {name!r}.")
    labels = (str(label).strip() for label in values)
    return LabelRow(name, tuple(dict.fromkeys(label for label in labels if label)), split)
