from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from pictures import jpeg, picture, snapshot_of

from bundle.manifest import Task
from trainer.data import FINGERPRINT_BYTES, Dataset, LabelledFile, Snapshot, Split, build_snapshot, read_dataset
from trainer.errors import EmptyDataset, SnapshotError, SplitError, TooFewLabels


@pytest.fixture
def photos(folder) -> Path:
    """Three classes of 12, 10 and 8 pictures; one picture of the first stands in it a second time, saved anew."""
    files = {f"{label}/{n}.jpg": 100 * k + n for k, (label, count) in enumerate(SIZES.items()) for n in range(count)}
    return folder({**files, "cat/0 again.jpg": jpeg(picture(0), quality=60)})


SIZES = {"cat": 12, "dog": 10, "owl": 8}


def codes(snapshot):
    return [warning.code for warning in snapshot.warnings]


def warning(snapshot, code):
    return next(found for found in snapshot.warnings if found.code == code)


def split_of(snapshot):
    return dict(zip(snapshot.paths, snapshot.splits.tolist(), strict=True))


def test_a_snapshot_holds_every_image_once_with_label_split_and_group(photos):
    snapshot = snapshot_of(read_dataset(photos))
    assert snapshot.labels == ("cat", "dog", "owl")
    assert len(snapshot) == 31
    assert list(snapshot.paths) == sorted(snapshot.paths)
    assert snapshot.label_counts() == {"cat": 13, "dog": 10, "owl": 8}
    assert snapshot.label_counts(Split.VALIDATION) == {"cat": 3, "dog": 2, "owl": 2}
    groups = dict(zip(snapshot.paths, snapshot.groups.tolist(), strict=True))
    assert groups["cat/0.jpg"] == groups["cat/0 again.jpg"]
    assert len(set(groups.values())) == 30
    assert split_of(snapshot)["cat/0.jpg"] == split_of(snapshot)["cat/0 again.jpg"]
    assert not snapshot.label_matrix.flags.writeable


def test_unreadable_images_are_listed_and_left_out(photos):
    (photos / "cat/broken.jpg").write_bytes(b"not an image")
    (photos / "dog/empty.jpg").write_bytes(b"")
    snapshot = snapshot_of(read_dataset(photos))
    assert [file.path for file in snapshot.skipped] == ["cat/broken.jpg", "dog/empty.jpg"]
    assert warning(snapshot, "unreadable").items == ("cat/broken.jpg", "dog/empty.jpg")
    assert len(snapshot) == 31


def test_only_unreadable_images_are_an_error_that_shows_why(folder):
    root = folder({"cat/a.jpg": b"x", "dog/a.jpg": b"y"})
    with pytest.raises(EmptyDataset, match=r"none can be read: cat/a.jpg \(not an image\)"):
        snapshot_of(read_dataset(root))


def test_a_class_of_unreadable_images_alone_is_gone(folder):
    root = folder({"cat/a.jpg": 1, "dog/a.jpg": b"y"})
    with pytest.raises(TooFewLabels, match="only 'cat'"):
        snapshot_of(read_dataset(root))


def test_saved_and_loaded_it_is_the_same(photos, tmp_path: Path):
    (photos / 'cat/brö"ken.jpg').write_bytes(b"x")
    snapshot = snapshot_of(read_dataset(photos, default_label="dog"), test_fraction=0.1)
    path = tmp_path / "snapshot.json"
    snapshot.save(path)
    loaded = Snapshot.load(path)
    for field in dataclasses.fields(Snapshot):
        assert np.array_equal(getattr(loaded, field.name), getattr(snapshot, field.name)), field.name
    assert loaded.sha256_digest == snapshot.sha256_digest
    lines = path.read_text(encoding="utf-8").splitlines()
    assert sum(line.startswith('{"path": ') for line in lines) == 31
    assert list(tmp_path.glob("*.part")) == []


def test_the_digest_is_of_contents_and_not_of_the_place(photos, tmp_path: Path):
    first = snapshot_of(read_dataset(photos))
    copy = tmp_path / "elsewhere"
    shutil.copytree(photos, copy)
    assert snapshot_of(read_dataset(copy)).sha256_digest == first.sha256_digest
    assert snapshot_of(read_dataset(photos), seed=1).sha256_digest != first.sha256_digest
    (copy / "owl/0.jpg").rename(copy / "dog/new.jpg")
    assert snapshot_of(read_dataset(copy)).sha256_digest != first.sha256_digest


def test_the_split_depends_neither_on_names_nor_on_the_order_of_files(photos):
    dataset = read_dataset(photos)
    first = snapshot_of(dataset)
    turned = snapshot_of(dataclasses.replace(dataset, files=dataset.files[::-1]))
    assert turned.sha256_digest == first.sha256_digest
    assert turned.groups.tolist() == first.groups.tolist()
    for number, path in enumerate(sorted((photos / "cat").iterdir())):
        path.rename(photos / "cat" / f"renamed {99 - number}.jpg")
    renamed = snapshot_of(read_dataset(photos))
    by_content = dict(zip(first.sha256, first.splits.tolist(), strict=True))
    assert dict(zip(renamed.sha256, renamed.splits.tolist(), strict=True)) == by_content


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace('"split": "train"', '"split": "validation"', 1), "changed after it was written"),
        (lambda text: text.replace('"labels": ["cat"]', '"labels": ["lynx"]', 1), "damaged"),
        (lambda text: text.replace('"snapshot_version": 1', '"snapshot_version": 9'), "version 9"),
        (lambda text: text[: len(text) // 2], "damaged"),
        (lambda text: "[]", "damaged"),
        (lambda text: "", "damaged"),
    ],
)
def test_a_changed_or_damaged_snapshot_is_refused(photos, tmp_path: Path, change, said):
    path = tmp_path / "snapshot.json"
    snapshot_of(read_dataset(photos)).save(path)
    path.write_text(change(path.read_text()))
    with pytest.raises(SnapshotError, match=said):
        Snapshot.load(path)


def test_a_missing_snapshot_is_an_error(tmp_path: Path):
    with pytest.raises(SnapshotError, match="No such file"):
        Snapshot.load(tmp_path / "snapshot.json")


def test_lists_of_names_decide_the_split(photos):
    snapshot = snapshot_of(
        read_dataset(photos), validation_list=["cat/1.jpg", "dog\\2.jpg"], test_list=["owl/0.jpg"], test_fraction=0.3
    )
    chosen = {path: split for path, split in split_of(snapshot).items() if split}
    assert chosen == {"cat/1.jpg": 1, "dog/2.jpg": 1, "owl/0.jpg": 2}
    assert warning(snapshot, "no_validation").items == ("owl",)


def test_names_on_a_list_that_fit_nothing_are_a_warning_and_all_of_them_an_error(photos):
    (photos / "cat/broken.jpg").write_bytes(b"x")
    dataset = read_dataset(photos)
    snapshot = snapshot_of(dataset, validation_list=["cat/1.jpg", "nowhere.jpg", "1.jpg", "cat/broken.jpg"])
    assert warning(snapshot, "unmatched_names").items == ("nowhere.jpg", "1.jpg")
    with pytest.raises(SplitError, match=r"validation list.*2 names that fit none"):
        snapshot_of(dataset, validation_list=["nowhere.jpg", "1.jpg"])


def test_an_image_on_both_lists_is_a_test_image_and_said_so(photos):
    snapshot = snapshot_of(read_dataset(photos), validation_list=["cat/1.jpg", "dog/1.jpg"], test_list=["cat/1.jpg"])
    assert split_of(snapshot)["cat/1.jpg"] == 2
    assert warning(snapshot, "listed_twice").items == ("cat/1.jpg",)


def test_a_leak_that_a_list_makes_is_reported_with_both_images(photos):
    snapshot = snapshot_of(read_dataset(photos), validation_list=["cat/0 again.jpg", "dog/1.jpg"])
    assert warning(snapshot, "leaks").items == ("cat/0 again.jpg (validation) ~ cat/0.jpg (train)",)
    assert "leaks" not in codes(snapshot_of(read_dataset(photos)))


def test_declared_splits_are_used_and_a_list_replaces_them(folder):
    root = folder(
        {
            f"{split}/{label}/{n}.jpg": hash_of(split, label, n)
            for split in ("train", "val")
            for label in "ab"
            for n in range(3)
        }
    )
    dataset = read_dataset(root)
    snapshot = snapshot_of(dataset)
    assert {path.split("/")[0]: split for path, split in split_of(snapshot).items()} == {"train": 0, "val": 1}
    listed = snapshot_of(dataset, validation_list=["train/a/0.jpg"])
    assert [path for path, split in split_of(listed).items() if split == 1] == ["train/a/0.jpg"]


def hash_of(split: str, label: str, n: int) -> int:
    return 1000 + 100 * (split == "val") + 10 * (label == "b") + n


def test_equal_files_under_different_labels_are_listed(photos):
    shutil.copy(photos / "cat/3.jpg", photos / "dog/same.jpg")
    snapshot = snapshot_of(read_dataset(photos))
    assert warning(snapshot, "conflicting_labels").items == ("cat/3.jpg = dog/same.jpg",)
    assert split_of(snapshot)["cat/3.jpg"] == split_of(snapshot)["dog/same.jpg"]


def test_small_classes_imbalance_and_spelling_are_warnings(folder):
    files = {f"cat/{n}.jpg": n for n in range(22)} | {"Cat /0.jpg": 50, "Cat /1.jpg": 51, "owl/0.jpg": 60}
    snapshot = snapshot_of(read_dataset(folder(files)))
    assert warning(snapshot, "few_images").items == ("Cat (2)", "owl (1)")
    assert warning(snapshot, "imbalance").items == ("cat", "owl")
    assert warning(snapshot, "label_spelling").items == ("Cat / cat",)
    assert warning(snapshot, "no_validation").items == ("owl",)


def test_no_validation_at_all_is_a_warning(photos):
    snapshot = snapshot_of(read_dataset(photos), validation_fraction=0)
    assert len(snapshot.rows(Split.VALIDATION)) == 0
    assert "No validation images" in warning(snapshot, "no_validation").message


def test_a_data_set_of_one_image_over_and_over_is_a_warning_and_no_crash(folder):
    same = jpeg(picture(1))
    files = {f"cat/{n}.jpg": same for n in range(20)} | {f"dog/{n}.jpg": n + 10 for n in range(20)}
    snapshot = snapshot_of(read_dataset(folder(files)))
    assert warning(snapshot, "large_group").message.startswith("20 images look the same")
    assert snapshot.label_counts(Split.TRAIN)["cat"] == 20


def test_multi_label_rows_keep_all_labels_and_negatives(folder, tmp_path: Path):
    root = folder({f"{n}.jpg": n for n in range(30)})
    table = tmp_path / "labels.csv"
    rows = [f"{n}.jpg,{int(n % 2 == 0)},{int(n % 3 == 0)}" for n in range(30)]
    table.write_text("\n".join(["filename,even,third", *rows]))
    snapshot = snapshot_of(read_dataset(root, labels_file=table))
    assert snapshot.task is Task.MULTI_LABEL
    truth = {path: snapshot.label_matrix[row].tolist() for row, path in enumerate(snapshot.paths)}
    assert truth["6.jpg"] == [True, True]
    assert truth["5.jpg"] == [False, False]
    path = tmp_path / "snapshot.json"
    snapshot.save(path)
    assert json.loads(path.read_text())["task"] == "multi_label"
    assert (Snapshot.load(path).label_matrix == snapshot.label_matrix).all()


def test_lengths_that_do_not_fit_are_refused():
    files = (LabelledFile("a.jpg", ("x",)), LabelledFile("b.jpg", ("y",)))
    dataset = Dataset(Path("photos"), Task.SINGLE_LABEL, ("x", "y"), None, files, (), ())
    with pytest.raises(ValueError, match="found 1 and 2"):
        build_snapshot(
            dataset, sha256=["0"], fingerprints=np.zeros((2, FINGERPRINT_BYTES), dtype=np.uint8), unreadable={}
        )


def test_a_folder_whose_name_is_no_text_is_a_warning_that_is_saved_and_loaded(folder, tmp_path: Path):
    root = folder({"cat/a.jpg": 1, "dog/a.jpg": 2})
    (root / os.fsdecode(b"bad\xff")).mkdir()
    (root / os.fsdecode(b"bad\xff") / "a.jpg").write_bytes((root / "cat/a.jpg").read_bytes())
    snapshot = snapshot_of(read_dataset(root))
    snapshot.save(tmp_path / "snapshot.json")
    loaded = Snapshot.load(tmp_path / "snapshot.json")
    assert loaded.warnings == snapshot.warnings
    assert os.fsdecode(b"bad\xff") in {item for warning in loaded.warnings for item in warning.items}
