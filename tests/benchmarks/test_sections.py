"""Sections of RESULTS.md: one is written, all else stays."""

from __future__ import annotations

import pytest

from benchmarks.sections import markers, read_section, replace_section

BEGIN, END = markers("speed")


def test_only_the_part_between_the_markers_is_replaced() -> None:
    old = f"# Title\n\n{BEGIN}\nold\n{END}\n\n## Other\n"
    assert read_section(old, "speed").strip() == "old"
    assert replace_section(old, "speed", "new\n") == f"# Title\n\n{BEGIN}\nnew\n{END}\n\n## Other\n"


def test_a_file_without_markers_gets_the_section_at_its_end() -> None:
    first = replace_section("# Title\n", "speed", "one")
    assert first == f"# Title\n\n{BEGIN}\none\n{END}\n"
    assert replace_section(first, "speed", "two") == first.replace("one", "two")
    assert read_section("# Title\n", "speed") == ""


@pytest.mark.parametrize("text", [BEGIN, END, f"{END}\n{BEGIN}"])
def test_broken_markers_are_an_error_and_not_a_guess(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        replace_section(text, "speed", "new")
