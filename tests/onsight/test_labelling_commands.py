"""onsight predict: tables, JSON and folders; every image has its row, whatever is wrong with it."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from onsight_process import Onsight, command_environment
from onsight_server import SCRIPT
from tiny_runs import ODD_LABELS, TinyRun, shapes

from bundle.home import OnsightHome
from onsight.labelling import Answer, find_images
from onsight.results import folder_names, write_csv, write_json


def rows_of(text: str) -> dict[str, dict[str, str]]:
    return {row["file"]: row for row in csv.DictReader(io.StringIO(text))}


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Three good images, one of them named oddly, among files that are none."""
    folder = tmp_path / "mixed"
    (folder / "sub, folder" / "deep").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    shapes(("red",), 11).save(folder / "a.png")
    shapes(("green",), 12).save(folder / "sub, folder" / "a.png")
    shapes(("blue",), 13).save(folder / "sub, folder" / "deep" / 'ö "x".PNG')
    shapes(("blue",), 13).save(folder / ".hidden" / "b.png")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("no image")
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:300])
    (folder / "gone.png").symlink_to(folder / "nothing.png")
    (folder / "folder.png").mkdir()
    (folder / "notes.txt").write_text("not looked at")
    return folder


GOOD = {"a.png": "red, dark", "sub, folder/a.png": "grün", 'sub, folder/deep/ö "x".PNG': "blue"}
BAD = {"empty.jpg", "text.jpg", "cut.png", "gone.png"}


def test_unreadable_images_are_rows_with_an_error_among_the_others(
    onsight: Onsight, single_bundle: Path, mixed: Path
) -> None:
    finished = onsight("predict", single_bundle, mixed)
    assert finished.code == 0
    rows = rows_of(finished.stdout)
    assert list(rows) == sorted([*GOOD, *BAD])
    assert {file: row["labels"] for file, row in rows.items() if not row["error"]} == GOOD
    for file in BAD:
        assert rows[file]["error"]
        assert rows[file]["labels"] == rows[file]["unknown"] == rows[file]["score:blue"] == ""
    assert rows["gone.png"]["error"] == "the file cannot be read: No such file or directory"
    assert finished.stderr.splitlines() == [
        "3 of 7 images labelled: red, dark 1, grün 1, blue 1",
        "4 could not be read; the error of each stands with it",
    ]


def test_scores_are_those_of_every_label_in_percent(onsight: Onsight, single_bundle: Path, mixed: Path) -> None:
    rows = rows_of(onsight("predict", single_bundle, mixed).stdout)
    for file, label in GOOD.items():
        scores = {name[6:]: float(cell) for name, cell in rows[file].items() if name.startswith("score:")}
        assert list(scores) == ["blue", "grün", "red, dark"]
        assert max(scores, key=scores.__getitem__) == label
        assert sum(scores.values()) == pytest.approx(100, abs=0.01)


def test_json_says_what_the_table_says(onsight: Onsight, single_bundle: Path, mixed: Path, tmp_path: Path) -> None:
    rows = rows_of(onsight("predict", single_bundle, mixed).stdout)
    found = onsight("predict", single_bundle, mixed, "--json").json
    assert [entry["file"] for entry in found] == list(rows)
    for entry in found:
        row = rows[entry["file"]]
        if "error" in entry:
            assert entry == {"file": entry["file"], "error": row["error"]}
            continue
        assert entry["labels"] == [row["labels"]]
        assert entry["unknown"] is False
        for score in entry["scores"]:
            assert score["score"] == pytest.approx(float(row[f"score:{score['label']}"]), abs=1e-3)
        assert [s["score"] for s in entry["scores"]] == sorted((s["score"] for s in entry["scores"]), reverse=True)
    assert onsight("predict", single_bundle, mixed, "--out", "new/results.json").stdout == ""
    assert json.loads((tmp_path / "new" / "results.json").read_text(encoding="utf-8")) == found


def test_a_file_is_written_whole_in_place_of_an_older_one(
    onsight: Onsight, single_bundle: Path, mixed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results.csv"
    out.write_text("older")
    finished = onsight("predict", single_bundle, mixed, "--out", "results.csv")
    assert (finished.code, finished.stdout) == (0, "")
    assert finished.stderr.splitlines()[-1] == "Written: results.csv"
    assert out.read_text(encoding="utf-8") == onsight("predict", single_bundle, mixed).stdout
    assert {path.name for path in tmp_path.iterdir()} == {"home", "mixed", "results.csv", "stdout.txt", "stderr.txt"}


def test_the_order_and_the_answers_do_not_depend_on_the_number_of_workers(
    onsight: Onsight, single_bundle: Path, single_run: TinyRun
) -> None:
    one, many = (onsight("predict", single_bundle, single_run.images, "--workers", n) for n in (1, 16))
    assert one.stdout == many.stdout
    assert one.stdout.count("\n") == 91


def test_images_are_copied_below_their_labels_and_never_over_each_other(
    onsight: Onsight, single_bundle: Path, mixed: Path, tmp_path: Path
) -> None:
    finished = onsight("predict", single_bundle, mixed, "--group-by-label", "sorted")
    assert (finished.code, finished.stdout) == (0, "")
    copies = {path.relative_to(tmp_path / "sorted").as_posix() for path in (tmp_path / "sorted").rglob("*.*")}
    wanted = {f"{label}/{file}" for file, label in GOOD.items()}
    assert copies == wanted | {f"_unreadable/{file}" for file in BAD - {"gone.png"}}
    for file, label in GOOD.items():
        assert (tmp_path / "sorted" / label / file).read_bytes() == (mixed / file).read_bytes()
    assert "found files in it" in onsight("predict", single_bundle, mixed, "--group-by-label", "sorted").error


def test_a_table_and_folders_can_be_had_at_once(
    onsight: Onsight, single_bundle: Path, mixed: Path, tmp_path: Path
) -> None:
    finished = onsight("predict", single_bundle, mixed, "--group-by-label", "sorted", "--out", "results.csv")
    assert finished.stderr.splitlines()[-2:] == ["Written: results.csv", "Written: sorted"]
    assert set(rows_of((tmp_path / "results.csv").read_text(encoding="utf-8"))) == {*GOOD, *BAD}


@pytest.mark.slow
def test_labels_that_look_like_paths_stay_inside_the_folder(
    onsight: Onsight, multi_bundle: Path, multi_run: TinyRun, tmp_path: Path
) -> None:
    finished = onsight("predict", multi_bundle, multi_run.images, "--group-by-label", "out/sorted", "--out", "all.json")
    assert finished.code == 0, finished.stderr
    assert {path.name for path in (tmp_path / "out" / "sorted").iterdir()} <= {
        "red, dark", "_grün", "blå_сини", "_no_label", "_unknown"
    } | {"grün"}  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {"home", "out", "all.json", "stdout.txt", "stderr.txt"}
    answers = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    claimed = {label for answer in answers for label in answer["labels"]}
    assert claimed == set(ODD_LABELS.values())


def test_folder_names_are_safe_and_each_labels_own() -> None:
    labels = [
        "cat",
        "a/b",
        "a:b",
        "A_B",
        "../../etc",
        "..",
        ".",
        "",
        " ",
        "_unknown",
        "x" * 300,
        "ü" * 300,
        "a\0b\n",
        "CON ",
    ]
    names = folder_names(labels)
    assert list(names) == labels
    assert len({name.casefold() for name in names.values()}) == len(labels)
    for name in names.values():
        assert name not in (".", "..", "")
        assert not set(name) & set('/\\:*?"<>|\0\n')
        assert name[0] not in "._"
        assert name == name.strip()
        assert len(name.encode()) <= 160
    assert names["cat"] == "cat"
    assert (names["a/b"], names["a:b"], names["A_B"]) == ("a_b", "a_b-2", "A_B-3")


def test_every_image_unreadable_is_a_failure_with_its_rows(
    onsight: Onsight, single_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad").mkdir()
    for number in range(3):
        (tmp_path / "bad" / f"{number}.jpg").write_bytes(b"no image")
    finished = onsight("predict", single_bundle, "bad")
    assert finished.code == 1
    assert len(rows_of(finished.stdout)) == 3
    assert finished.stderr.startswith("0 of 3 images labelled\n3 could not be read")


def test_names_that_are_no_utf8_are_written_all_the_same(onsight: Onsight, single_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "odd").mkdir()
    shapes(("red",), 5).save(tmp_path / "red.png")
    name = os.fsdecode(b"caf\xe9.png")
    shutil.copy2(tmp_path / "red.png", tmp_path / "odd" / name)
    assert 'caf\\udce9.png,"red, dark"' in onsight("predict", single_bundle, "odd").stdout
    (entry,) = onsight("predict", single_bundle, "odd", "--json").json
    assert entry["file"] == name  # JSON's own escape
    assert onsight("predict", single_bundle, "odd", "--out", "out.csv").code == 0


@pytest.mark.parametrize("arguments", [["predict", "MODEL", "IMAGES"], ["report", "RUN"]], ids=lambda value: value[0])
@pytest.mark.slow
def test_a_terminal_of_ascii_alone_ends_no_command(
    arguments: list[str], single_bundle: Path, single_run: TinyRun, home: OnsightHome
) -> None:
    places = {"MODEL": single_bundle, "IMAGES": single_run.images / "grün", "RUN": single_run.folder}
    found = subprocess.run(
        [SCRIPT, *(str(places.get(argument, argument)) for argument in arguments)], capture_output=True, check=True,
        env=command_environment(home.path, {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}),
    )  # fmt: skip
    assert b"gr\\xfcn" in found.stdout or "grün".encode() in found.stdout


def test_images_are_found_by_any_spelling_of_their_ending_and_hidden_ones_are_not(mixed: Path) -> None:
    assert find_images(mixed) == sorted([*GOOD, *BAD])
    assert find_images(mixed / "notes.txt") == ["notes.txt"]


def test_a_model_with_many_labels_has_a_table_without_score_columns() -> None:
    labels = [f"label {number}" for number in range(201)]
    answers = [Answer("x.png", ("label 3", "label 4"), False, tuple((label, 0.5) for label in labels))]
    out = io.StringIO()
    write_csv(answers, labels, out)
    assert out.getvalue() == "file,labels,unknown,error\nx.png,label 3|label 4,false,\n"


def test_no_answers_are_still_json() -> None:
    out = io.StringIO()
    write_json([], ["a"], out)
    assert json.loads(out.getvalue()) == []
