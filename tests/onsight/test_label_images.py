"""Labelling many files: what cannot be read is an answer, and the others go on."""

from __future__ import annotations

from pathlib import Path

from onsight.labelling import Answer, find_images, label_images


def test_a_file_that_memory_could_not_hold_is_an_answer_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"small")
    with (tmp_path / "b.png").open("wb") as file:
        file.truncate(1 << 40)  # a TiB of nothing, which takes no room
    answers = list(label_images(tmp_path, find_images(tmp_path), lambda data: Answer("", (data.decode(),)), 2))
    assert answers[0] == Answer("a.png", ("small",))
    assert answers[1].error is not None
    assert str(1 << 40) in answers[1].error
