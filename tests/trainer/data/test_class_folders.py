from __future__ import annotations

import os
from pathlib import Path

import pytest

from bundle.manifest import Task
from trainer.data import Split, read_dataset
from trainer.errors import EmptyDataset, TooFewLabels


def labels_by_path(dataset):
    return {file.path: file.labels for file in dataset.files}


def codes(dataset):
    return {warning.code for warning in dataset.warnings}


def test_folder_names_are_labels_and_deeper_folders_belong_to_their_class(folder):
    root = folder({"cat/a.jpg": 1, "cat/outside/b.JPG": 2, "dog/a.jpg": 3})
    dataset = read_dataset(root)
    assert dataset.task is Task.SINGLE_LABEL
    assert dataset.root == root
    assert labels_by_path(dataset) == {"cat/a.jpg": ("cat",), "cat/outside/b.JPG": ("cat",), "dog/a.jpg": ("dog",)}
    assert dataset.warnings == ()


def test_labels_are_sorted_as_people_count(folder):
    root = folder({"class 10/a.jpg": 1, "class 2/a.jpg": 2, "Class 1/a.jpg": 3})
    assert read_dataset(root).labels == ("Class 1", "class 2", "class 10")


def test_an_image_beside_the_class_folders_is_left_out_and_said_so(folder):
    root = folder({"cat/a.jpg": 1, "dog/a.jpg": 2, "stray.jpg": 3})
    dataset = read_dataset(root)
    assert "stray.jpg" not in labels_by_path(dataset)
    assert [file.path for file in dataset.skipped] == ["stray.jpg"]
    assert "unlabelled" in codes(dataset)


def test_an_image_beside_the_class_folders_takes_the_default_label(folder):
    root = folder({"cat/a.jpg": 1, "dog/a.jpg": 2, "stray.jpg": 3})
    dataset = read_dataset(root, default_label="other")
    assert labels_by_path(dataset)["stray.jpg"] == ("other",)
    assert dataset.labels == ("cat", "dog", "other")
    assert dataset.skipped == ()


def test_hidden_files_and_droppings_are_passed_over_and_other_files_listed(folder):
    root = folder(
        {
            "cat/a.jpg": 1,
            "dog/a.jpg": 2,
            "dog/.hidden.jpg": 3,
            "cat/Thumbs.db": "x",
            "__MACOSX/cat/._a.jpg": "x",
            "cat/notes.txt": "x",
        }
    )
    dataset = read_dataset(root)
    assert set(labels_by_path(dataset)) == {"cat/a.jpg", "dog/a.jpg"}
    assert [file.path for file in dataset.skipped] == ["cat/notes.txt"]


def test_the_single_top_folder_of_an_archive_is_stepped_into(folder):
    root = folder({"dataset/cat/a.jpg": 1, "dataset/dog/a.jpg": 2, "__MACOSX/x": "x", "README.txt": "x"})
    dataset = read_dataset(root)
    assert dataset.root == root / "dataset"
    assert set(labels_by_path(dataset)) == {"cat/a.jpg", "dog/a.jpg"}
    assert "stepped_into" in codes(dataset)


def test_folders_named_as_splits_are_splits_and_not_classes(folder):
    root = folder({"train/cat/a.jpg": 1, "train/dog/a.jpg": 2, "Val/cat/b.jpg": 3, "test/dog/c.jpg": 4})
    dataset = read_dataset(root)
    assert dataset.labels == ("cat", "dog")
    assert {file.path: file.split for file in dataset.files} == {
        "train/cat/a.jpg": Split.TRAIN,
        "train/dog/a.jpg": Split.TRAIN,
        "Val/cat/b.jpg": Split.VALIDATION,
        "test/dog/c.jpg": Split.TEST,
    }
    assert "split_folders" in codes(dataset)


def test_a_class_that_is_called_test_stays_a_class(folder):
    root = folder({"train/a.jpg": 1, "test/a.jpg": 2})
    assert read_dataset(root).labels == ("test", "train")


def test_links_are_followed_inside_the_folder_alone(folder, tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    root = folder({"cat/a.jpg": 1, "dog/a.jpg": 2})
    (outside / "secret.jpg").write_bytes((root / "cat/a.jpg").read_bytes())
    (root / "cat" / "leak").symlink_to(outside)
    (root / "cat" / "leak.jpg").symlink_to(outside / "secret.jpg")
    (root / "cat" / "loop").symlink_to(root)
    (root / "cat" / "gone.jpg").symlink_to(root / "nowhere.jpg")
    (root / "dog" / "b.jpg").symlink_to(root / "dog" / "a.jpg")
    dataset = read_dataset(root)
    assert set(labels_by_path(dataset)) == {"cat/a.jpg", "dog/a.jpg", "dog/b.jpg"}
    assert {file.path for file in dataset.skipped} == {"cat/leak", "cat/leak.jpg", "cat/loop", "cat/gone.jpg"}


def test_a_file_name_that_is_no_text_is_listed_and_not_fatal(folder):
    root = folder({"cat/a.jpg": 1, "dog/a.jpg": 2})
    os.link(root / "cat/a.jpg", os.fsencode(root / "cat") + b"/\xff.jpg")
    dataset = read_dataset(root)
    assert len(dataset.files) == 2
    assert "UTF-8" in dataset.skipped[0].reason
    dataset.skipped[0].path.encode()


def test_a_class_folder_without_images_is_a_warning(folder):
    root = folder({"cat/a.jpg": 1, "dog/a.jpg": 2})
    (root / "bird").mkdir()
    assert "empty_folders" in codes(read_dataset(root))


def test_class_folders_can_be_trained_multi_label(folder):
    dataset = read_dataset(folder({"cat/a.jpg": 1, "cat/b.jpg": 2}), task=Task.MULTI_LABEL)
    assert dataset.labels == ("cat",)


@pytest.mark.parametrize(
    ("files", "error", "said"),
    [
        ({}, EmptyDataset, "an empty folder"),
        ({"cat/readme.txt": "x"}, EmptyDataset, "1 other file"),
        ({"cat/a.jpg": 1, "cat/b.jpg": 2}, TooFewLabels, "only 'cat'"),
        ({"a.jpg": 1, "b.jpg": 2}, TooFewLabels, "no folders"),
        ({"a.jpg": 1, "b.jpg": 2, "labels.csv": "a.jpg,x"}, TooFewLabels, "labels.csv as label file"),
    ],
)
def test_a_folder_of_which_nothing_can_be_learnt_is_an_error_with_a_remedy(folder, files, error, said):
    with pytest.raises(error) as caught:
        read_dataset(folder(files))
    assert said in str(caught.value)
    assert str(caught.value).rstrip().endswith((".", "?"))


def test_a_missing_folder_and_an_archive_are_told_apart(tmp_path: Path):
    with pytest.raises(EmptyDataset, match="found nothing there"):
        read_dataset(tmp_path / "nowhere")
    archive = tmp_path / "photos.zip"
    archive.write_bytes(b"PK")
    with pytest.raises(EmptyDataset, match="Unpack it"):
        read_dataset(archive)
