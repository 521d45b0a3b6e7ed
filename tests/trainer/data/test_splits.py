from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.data import Split, assign_splits, read_split_list
from trainer.errors import SplitError

TRAIN, VALIDATION, TEST = 0, 1, 2


def one_hot(classes):
    return np.eye(int(classes.max()) + 1, dtype=np.bool_)[classes]


@st.composite
def pure_groups(draw):
    """Single-label rows in groups of one class each: (label_matrix, groups)."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    sizes = random.geometric(draw(st.sampled_from([1.0, 0.7, 0.3])), size=draw(st.integers(2, 120)))
    classes = random.integers(0, draw(st.integers(2, 8)), len(sizes))
    classes = np.unique(classes, return_inverse=True)[1]
    order = random.permutation(sizes.sum())
    groups = np.repeat(np.arange(len(sizes)), sizes)[order]
    return one_hot(classes)[groups], groups


@st.composite
def any_groups(draw):
    """Rows with any labels in any groups."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows, labels = draw(st.integers(1, 150)), draw(st.integers(1, 8))
    matrix = random.random((rows, labels)) < draw(st.sampled_from([0.02, 0.2, 0.6]))
    return matrix, random.integers(0, draw(st.integers(1, 150)), rows)


fractions = st.sampled_from([0.05, 0.2, 0.5, 0.8])
few = settings(max_examples=150, deadline=None)


@few
@given(any_groups(), fractions, st.sampled_from([0.0, 0.15]), st.integers(0, 3))
def test_a_group_is_never_divided_and_every_label_can_be_learnt(rows, validation, test, seed):
    matrix, groups = rows
    splits = assign_splits(matrix, groups, validation_fraction=validation, test_fraction=test, seed=seed)
    for group in np.unique(groups):
        assert len(np.unique(splits[groups == group])) == 1
    assert matrix[splits == TRAIN].any(axis=0)[matrix.any(axis=0)].all()
    assert test > 0 or not (splits == TEST).any()


@few
@given(pure_groups(), fractions, st.integers(0, 3))
def test_every_class_with_two_groups_is_checked_and_never_given_away_entirely(rows, validation, seed):
    matrix, groups = rows
    splits = assign_splits(matrix, groups, validation_fraction=validation, seed=seed)
    for label in range(matrix.shape[1]):
        its_groups = len(np.unique(groups[matrix[:, label]]))
        assert matrix[splits == VALIDATION, label].any() == (its_groups >= 2)
        assert matrix[splits == TRAIN, label].any()


@few
@given(any_groups(), st.integers(0, 3))
def test_without_a_validation_fraction_all_rows_are_trained_on(rows, seed):
    matrix, groups = rows
    assert (assign_splits(matrix, groups, validation_fraction=0, seed=seed) == TRAIN).all()


@pytest.mark.parametrize(("validation", "test"), [(0.2, 0.0), (0.1, 0.2), (0.33, 0.33)])
def test_single_images_are_divided_exactly_by_class(validation, test):
    classes = np.repeat([0, 1, 2, 3], [1000, 300, 100, 20])
    splits = assign_splits(
        one_hot(classes), np.arange(1420), validation_fraction=validation, test_fraction=test, seed=1
    )
    for label, count in enumerate([1000, 300, 100, 20]):
        found = np.bincount(splits[classes == label], minlength=3)
        assert np.abs(found - count * np.array([1 - validation - test, validation, test])).max() <= 1


def test_labels_of_a_multi_label_set_are_divided_nearly_alike_rare_ones_included():
    random = np.random.default_rng(4)
    frequencies = np.array([0.5, 0.3, 0.2, 0.1, 0.05, 0.01])
    matrix = random.random((4000, 6)) < frequencies
    groups = random.integers(0, 3500, 4000)
    splits = assign_splits(matrix, groups, validation_fraction=0.2, test_fraction=0.1, seed=5)
    for code, fraction in ((TRAIN, 0.7), (VALIDATION, 0.2), (TEST, 0.1)):
        shares = matrix[splits == code].sum(axis=0) / matrix.sum(axis=0)
        assert np.abs(shares - fraction).max() <= 0.025
        assert abs((splits == code).mean() - fraction) <= 0.01
        assert abs((splits[~matrix.any(axis=1)] == code).mean() - fraction) <= 0.05


def test_the_seed_decides():
    matrix, groups = one_hot(np.arange(200) % 4), np.arange(200)
    first = assign_splits(matrix, groups, seed=1)
    assert (first == assign_splits(matrix, groups, seed=1)).all()
    assert (first != assign_splits(matrix, groups, seed=2)).any()


def test_lists_win_over_fractions_and_the_rest_is_trained_on():
    matrix, groups = one_hot(np.arange(100) % 4), np.arange(100)
    validation, test = np.arange(100) < 10, (np.arange(100) >= 5) & (np.arange(100) < 20)
    splits = assign_splits(
        matrix, groups, validation_fraction=0.5, test_fraction=0.3, validation_rows=validation, test_rows=test
    )
    assert splits.tolist() == [VALIDATION] * 5 + [TEST] * 15 + [TRAIN] * 80


def test_a_test_list_leaves_the_validation_fraction_of_the_rest():
    matrix, groups = one_hot(np.arange(100) % 4), np.arange(100)
    splits = assign_splits(matrix, groups, validation_fraction=0.25, test_rows=np.arange(100) < 20)
    assert np.bincount(splits).tolist() == [60, 20, 20]
    assert (splits[:20] == TEST).all()


def test_look_alikes_of_listed_images_are_not_drawn_for_validation():
    groups = np.concatenate([np.arange(10), np.arange(10), np.arange(10, 90)])
    matrix = one_hot(np.arange(100) % 4)
    splits = assign_splits(matrix, groups, validation_fraction=0.5, test_rows=np.arange(100) < 10)
    assert (splits[10:20] == TRAIN).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"validation_fraction": 1.0}, "less than 1, found 1"),
        ({"validation_fraction": -0.1}, "found -0.1"),
        ({"test_fraction": float("nan")}, "found nan"),
        ({"validation_fraction": 0.6, "test_fraction": 0.4}, "sum below 1"),
        ({"validation_rows": np.ones(8, dtype=np.bool_)}, "all of them listed"),
    ],
)
def test_impossible_fractions_and_lists_are_refused(options, said):
    with pytest.raises(SplitError, match=said):
        assign_splits(one_hot(np.arange(8) % 2), np.arange(8), **options)


@pytest.mark.parametrize(
    "text",
    [
        "a.jpg\nb c.PNG\n",
        "\ufeffa.jpg 2\nb c.PNG 1\n",
        "# by hand\n\na.jpg,cat,dog\r\nb c.PNG,cat\r\n",
        'filename,label\n"a.jpg","cat"\n"b c.PNG","dog"\n',
        "a.jpg\nb c.PNG\na.jpg\n",
    ],
)
def test_a_list_gives_the_names_alone(tmp_path: Path, text):
    path = tmp_path / "validation.txt"
    path.write_text(text, encoding="utf-8")
    assert read_split_list(path) == ("a.jpg", "b c.PNG")


def test_a_table_of_all_splits_gives_the_lines_of_one(tmp_path: Path):
    path = tmp_path / "split.csv"
    path.write_text("filename,split\na.jpg,train\nb.jpg,val\nc.jpg,test\n")
    assert read_split_list(path, Split.VALIDATION) == ("b.jpg",)
    assert read_split_list(path, Split.TEST) == ("c.jpg",)
    assert read_split_list(path) == ("a.jpg", "b.jpg", "c.jpg")


@pytest.mark.parametrize(("content", "said"), [(b"\n# nothing\n", "found none"), (b"\xff\xfe", "UTF-8")])
def test_a_list_of_no_use_is_an_error(tmp_path: Path, content, said):
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(SplitError, match=said):
        read_split_list(path)
    with pytest.raises(SplitError, match="No such file"):
        read_split_list(tmp_path / "nowhere.txt")
