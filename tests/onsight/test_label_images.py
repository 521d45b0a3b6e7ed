"""Labelling many files: what cannot be read is an answer, and the others go on."""

from __future__ import annotations

from pathlib import Path

from onsight.labelling import Answer, find_images, label_images
from onsight.results import copy_by_label


def test_a_file_that_memory_could_not_hold_is_an_answer_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"small")
    with (tmp_path / "b.png").open("wb") as file:
        file.truncate(1 << 40)  # a TiB of nothing, which takes no room
    answers = list(label_images(tmp_path, find_images(tmp_path), lambda data: Answer("", (data.decode(),)), 2))
    assert answers[0] == Answer("a.png", ("small",))
    assert answers[1].error is not None
    assert str(1 << 40) in answers[1].error


def test_a_label_that_a_server_learns_of_meanwhile_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    """Its model was replaced while the images were being labelled."""
    for name in ("1.png", "2.png", "3.png"):
        (tmp_path / name).write_bytes(b"x")
    answers = [Answer("1.png", ("a/b",)), Answer("2.png", ("a:b",)), Answer("3.png", ("a/b", "new"))]
    assert list(copy_by_label(answers, tmp_path, tmp_path / "out", ["a/b"])) == answers
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    assert found == ["a_b-2/2.png", "a_b/1.png", "a_b/3.png", "new/3.png"]
