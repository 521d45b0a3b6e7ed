from __future__ import annotations

import csv
import io
import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundle.manifest import Task
from trainer.data import Split, read_dataset
from trainer.data.file_index import FileIndex
from trainer.data.label_files import read_label_file
from trainer.errors import LabelFileError, TooFewLabels

IMAGES = {"a.jpg": 1, "b.jpg": 2, "sub/c.jpg": 3, "sub/deep/d.png.jpg": 4}


@pytest.fixture
def read(folder, tmp_path: Path):
    """Write IMAGES and a label file, and read them."""
    root = folder(IMAGES)

    def from_text(text: str | bytes, name: str = "labels.csv", **options):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_dataset(root, labels_file=path, **options)

    return from_text


def labels_by_path(dataset):
    return {file.path: file.labels for file in dataset.files}


def warning(dataset, code):
    return next(found for found in dataset.warnings if found.code == code)


SINGLE = {"a.jpg": ("cat",), "b.jpg": ("dog",), "sub/c.jpg": ("cat",)}


@pytest.mark.parametrize(
    "text",
    [
        "a.jpg,cat\nb.jpg,dog\nsub/c.jpg,cat\n",
        "filename,label\na.jpg,cat\nb.jpg,dog\nsub/c.jpg,cat\n",
        "a.jpg;cat\r\nb.jpg;dog\r\n\r\n;\r\nsub/c.jpg;cat\r\n",
        "a.jpg\tcat\nb.jpg\tdog\nsub/c.jpg\tcat",
        "\ufeffFile,Class\n a.jpg , cat \nb.jpg,dog\nc.jpg,cat\n",
        '"a.jpg","cat"\n"b.jpg","dog"\n".\\sub\\c.jpg","cat"\n',
        ",filename,label,width\n0,a.jpg,cat,640\n1,b.jpg,dog,640\n2,C:\\photos\\sub\\c.jpg,cat,480\n",
        "label,image\ncat,a.jpg\ndog,b.jpg\ncat,C.JPG\n",
        "Datei;Klasse\na.jpg;cat\nb.jpg;dog\nc;cat\n",
        "a.jpg,cat\nb.jpg,dog\nsub/c.jpg,cat\na.jpg,cat\n",
    ],
)
def test_the_usual_forms_of_csv_say_the_same(read, text):
    dataset = read(text)
    assert labels_by_path(dataset) == SINGLE
    assert dataset.task is Task.SINGLE_LABEL


@pytest.mark.parametrize(
    "document",
    [
        {"a.jpg": ["cat"], "b.jpg": "dog", "c.jpg": ["cat"]},
        {"a.jpg": {"labels": ["cat"]}, "b.jpg": {"label": "dog"}, "sub/c.jpg": "cat"},
        [
            {"file": "a.jpg", "labels": ["cat"]},
            {"filename": "b.jpg", "label": "dog"},
            {"path": "c.jpg", "label": "cat"},
        ],
    ],
)
def test_the_usual_forms_of_json_say_the_same(read, document):
    assert labels_by_path(read(json.dumps(document), "labels.json")) == SINGLE


MULTI = {"a.jpg": ("cat", "dog"), "b.jpg": ("dog",), "sub/c.jpg": ("cat",)}


@pytest.mark.parametrize(
    "text",
    [
        "a.jpg,cat,dog\nb.jpg,dog\nsub/c.jpg,cat\n",
        "a.jpg,cat|dog\nb.jpg,dog\nsub/c.jpg,cat\n",
        'a.jpg,"cat, dog"\nb.jpg,dog\nsub/c.jpg,cat\n',
        "a.jpg,cat;dog\nb.jpg,dog\nsub/c.jpg,cat\n",
        "file;tags\na.jpg;cat,dog\nb.jpg;dog\nsub/c.jpg;cat\n",
        "file,label\na.jpg,cat\nb.jpg,dog\nsub/c.jpg,cat\na.jpg,dog\n",
        "filename,cat,dog\na.jpg,1,1\nb.jpg,0,1\nc.jpg,1,0\n",
        "filename,cat,dog\na.jpg,1.0,True\nb.jpg,,1\nc.jpg,1,false\n",
        "Datei,cat,dog\na.jpg,1,1\nb.jpg,0,1\nc.jpg,1,0\n",
        '{"a.jpg": ["cat", "dog"], "b.jpg": ["dog"], "c.jpg": ["cat"]}',
        '{"a.jpg": "cat", "b.jpg": ["dog"], "c.jpg": ["cat"], "a.jpg": "dog"}',
    ],
)
def test_an_image_with_several_labels_makes_the_data_set_multi_label(read, text):
    dataset = read(text)
    assert labels_by_path(dataset) == MULTI
    assert dataset.task is Task.MULTI_LABEL
    assert dataset.labels == ("cat", "dog")


def test_a_one_hot_row_of_zeros_is_a_negative_example(read):
    dataset = read("filename,cat,dog\na.jpg,1,0\nb.jpg,0,1\nc.jpg,0,0\n")
    assert dataset.task is Task.MULTI_LABEL
    assert labels_by_path(dataset)["sub/c.jpg"] == ()


def test_zero_and_one_under_a_column_named_label_are_class_names(read):
    dataset = read("filename,label\na.jpg,0\nb.jpg,1\nc.jpg,0\n")
    assert dataset.labels == ("0", "1")
    assert dataset.task is Task.SINGLE_LABEL


def test_one_column_of_zero_and_one_under_another_name_is_that_label_or_not(read):
    dataset = read("filename,defect\na.jpg,0\nb.jpg,1\nc.jpg,0\n")
    assert dataset.task is Task.MULTI_LABEL
    assert labels_by_path(dataset) == {"a.jpg": (), "b.jpg": ("defect",), "sub/c.jpg": ()}


def test_a_slip_in_a_one_hot_table_is_shown_with_its_line_and_column(read):
    rows = "a.jpg,1,0,0,0,0,0\nb.jpg,0,1,0,0,0,0\nc.jpg,0,2,0,0,0,0\n"
    with pytest.raises(LabelFileError, match=r"line 4, column 'v': expected 0 or 1.*found '2'"):
        read("filename,u,v,w,x,y1,z\n" + rows)


def test_single_label_training_takes_the_first_label_named(read):
    dataset = read("a.jpg,cat,dog\nb.jpg,dog\nsub/c.jpg,dog,cat\n", task=Task.SINGLE_LABEL)
    assert labels_by_path(dataset) == {"a.jpg": ("cat",), "b.jpg": ("dog",), "sub/c.jpg": ("dog",)}
    assert warning(dataset, "several_labels").items == ("a.jpg", "sub/c.jpg")


def test_a_row_without_label_takes_the_default_label_in_single_label_training(read):
    dataset = read("a.jpg,cat\nb.jpg,dog\nc.jpg,\n", default_label=" cat ")
    assert labels_by_path(dataset)["sub/c.jpg"] == ("cat",)
    without = read("a.jpg,cat\nb.jpg,dog\nc.jpg,\n")
    assert warning(without, "unlabelled").items == ("sub/c.jpg",)
    negative = read("a.jpg,cat\nb.jpg,dog\nc.jpg,\n", task=Task.MULTI_LABEL, default_label="cat")
    assert labels_by_path(negative)["sub/c.jpg"] == ()


def test_missing_and_unlisted_images_are_listed_and_not_fatal(read):
    dataset = read("a.jpg,cat\nb.jpg,dog\nlost.jpg,cat\n")
    assert [file.path for file in dataset.skipped] == ["lost.jpg"]
    assert warning(dataset, "missing_images").items == ("lost.jpg",)
    assert warning(dataset, "unlisted_images").items == ("sub/c.jpg", "sub/deep/d.png.jpg")
    assert set(labels_by_path(dataset)) == {"a.jpg", "b.jpg"}


def test_a_label_file_of_other_images_is_an_error_that_says_where_it_looked(read):
    with pytest.raises(LabelFileError) as caught:
        read("x1.jpg,cat\nx2.jpg,dog\nx3.jpg,dog\nx4.jpg,dog\n")
    for part in ("x1.jpg, x2.jpg, x3.jpg and 1 more", "photos", "a.jpg", "Name the folder"):
        assert part in str(caught.value)


def test_a_base_name_that_fits_two_files_is_not_guessed(folder, tmp_path: Path):
    root = folder({"x/1.jpg": 1, "y/1.jpg": 2, "y/2.jpg": 3})
    table = tmp_path / "labels.csv"
    table.write_text("1.jpg,cat\n2.jpg,dog\nx/1.jpg,cat\n")
    dataset = read_dataset(root, labels_file=table)
    assert set(labels_by_path(dataset)) == {"x/1.jpg", "y/2.jpg"}
    assert "2 files fit" in dataset.skipped[0].reason


def test_a_name_in_another_folder_is_missing_and_not_the_image_of_the_same_name(folder, tmp_path: Path):
    root = folder({"cats/1.jpg": 1, "cats/2.jpg": 2, "dogs/2.jpg": 3})
    (tmp_path / "labels.csv").write_text("cats/1.jpg,cat\ncats/2.jpg,cat\ndogs/1.jpg,dog\nDogs/2,dog\n")
    dataset = read_dataset(root, labels_file=tmp_path / "labels.csv")
    assert dataset.task is Task.SINGLE_LABEL
    assert labels_by_path(dataset) == {"cats/1.jpg": ("cat",), "cats/2.jpg": ("cat",), "dogs/2.jpg": ("dog",)}
    assert warning(dataset, "missing_images").items == ("dogs/1.jpg",)


@pytest.mark.parametrize("name", ["animals/cats/1.jpg", "cats/1.jpg", "1.jpg", "C:\\x\\animals\\cats\\1.JPG", "Cats/1"])
def test_a_name_may_have_more_or_fewer_folders_than_the_image(name):
    assert FileIndex(["animals/cats/1.jpg", "animals/cats/2.jpg"]).find(name) == ("animals/cats/1.jpg",)


def test_a_split_column_is_a_split_and_not_a_label(read):
    dataset = read("filename,label,split\na.jpg,cat,train\nb.jpg,dog,train\nc.jpg,cat,val\n")
    assert dataset.labels == ("cat", "dog")
    assert [file.split for file in dataset.files] == [Split.TRAIN, Split.TRAIN, Split.VALIDATION]


def test_a_latin_1_file_is_read_with_a_warning(read):
    dataset = read("a.jpg,Käse\nb.jpg,Brot\n".encode("latin-1"))
    assert dataset.labels == ("Brot", "Käse")
    assert "line 1" in warning(dataset, "label_file_encoding").message


def test_a_utf_16_file_from_a_spreadsheet_is_read(read):
    assert read("a.jpg\tKäse\nb.jpg\tBrot\n".encode("utf-16")).labels == ("Brot", "Käse")


def test_the_label_file_may_lie_among_the_images(folder):
    root = folder({**IMAGES, "labels.csv": "a.jpg,cat\nb.jpg,dog\n"})
    assert read_dataset(root, labels_file=root / "labels.csv").skipped == ()


def test_a_label_that_no_file_could_hold_is_mended(read):
    dataset = read(r'{"a.jpg": "\ud800x", "b.jpg": "dog"}', "labels.json")
    assert labels_by_path(dataset) == {"a.jpg": ("?x",), "b.jpg": ("dog",)}


def test_decomposed_accents_in_names_and_labels_are_the_same_letters(folder, tmp_path: Path):
    decomposed = unicodedata.normalize("NFD", "Käfer")
    root = folder({f"{decomposed}.jpg": 1, "b.jpg": 2, "c.jpg": 3})
    table = tmp_path / "labels.csv"
    table.write_text(f"Käfer.jpg,Käfer\nb.jpg,{decomposed}\nc.jpg,x\n", encoding="utf-8")
    dataset = read_dataset(root, labels_file=table)
    assert dataset.labels == ("Käfer", "x")
    assert len(dataset.files) == 3


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (b"", "labels.csv", "found an empty file"),
        (b" \n\n", "labels.csv", "found an empty file"),
        (b";;\n;;\n", "labels.csv", "only empty rows"),
        (b"PK\x03\x04rest", "labels.xlsx", "Excel"),
        (b"a.jpg,cat\0\n", "labels.csv", "binary data"),
        (b"filename,label\n", "labels.csv", "column names alone"),
        (b"a.jpg\nb.jpg\n", "labels.csv", "file names alone"),
        (b'a.jpg,"' + b"x" * 200_000, "labels.csv", "field larger than"),
        (b'{"a.jpg": ', "labels.json", "not JSON"),
        (b"[" * 100_000, "labels.json", "not JSON"),
        (b"{}", "labels.json", "found nothing in it"),
        (b'"a.jpg"', "labels.json", '"a.jpg"'),
        (b'{"a.jpg": [["cat"]]}', "labels.json", "'a.jpg'"),
        (b'{"a.jpg": {"labels": {"cat": 1}}}', "labels.json", "'a.jpg'"),
        (b'[{"labels": ["cat"]}]', "labels.json", "no file name in entry 1"),
        (b'[["a.jpg", "cat"]]', "labels.json", "no file name in entry 1"),
    ],
)
def test_a_label_file_of_no_use_is_an_error_that_shows_what_is_expected(read, content, name, said):
    with pytest.raises(LabelFileError) as caught:
        read(content, name)
    assert said in str(caught.value)
    assert name in str(caught.value)
    assert "expected" in str(caught.value).lower()


def test_a_missing_label_file_is_an_error(folder, tmp_path: Path):
    with pytest.raises(LabelFileError, match="found nothing there"):
        read_dataset(folder(IMAGES), labels_file=tmp_path / "nowhere.csv")
    with pytest.raises(LabelFileError, match="directory"):
        read_dataset(folder(IMAGES), labels_file=tmp_path)


def test_one_label_for_all_images_is_too_few(read):
    with pytest.raises(TooFewLabels, match="only 'cat'"):
        read("a.jpg,cat\nb.jpg,cat\n")


def test_rows_without_a_file_name_are_a_warning_with_their_lines(read):
    dataset = read("a.jpg,cat\n,dog\nb.jpg,dog\n")
    assert warning(dataset, "nameless_rows").items == ("line 2",)


LABEL = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters='|,;"'), min_size=1).map(
    lambda text: unicodedata.normalize("NFC", "x" + text)
)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.dictionaries(
        st.integers(0, 20).map(lambda n: f"image {n}.jpg"), st.lists(LABEL, max_size=4, unique=True), min_size=2
    ),
    delimiter=st.sampled_from(",;\t"),
    header=st.booleans(),
    as_json=st.booleans(),
)
def test_any_table_that_is_written_is_read_back(tmp_path_factory, rows, delimiter, header, as_json):
    path = tmp_path_factory.mktemp("labels") / "labels"
    if as_json:
        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        text = io.StringIO()
        writer = csv.writer(text, delimiter=delimiter)
        if header:
            writer.writerow(["filename", "labels"])
        writer.writerows([name, *labels] for name, labels in rows.items())
        path.write_text(text.getvalue(), encoding="utf-8")
    table = read_label_file(path, FileIndex(rows))
    assert {row.name: list(row.labels) for row in table.rows} == rows
