"""Sections of RESULTS.md that a benchmark writes: each stands between two markers, and nothing else there changes."""

from __future__ import annotations

from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")


def markers(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def read_section(text: str, name: str) -> str:
    """What stands between the section's markers; nothing where there are none. Raises ValueError for one of two."""
    return _split(text, name)[1]


def replace_section(text: str, name: str, section: str) -> str:
    """The text with this section replaced, or added at its end.

    Raises ValueError where one marker is there without the other.
    """
    before, _, after = _split(text, name)
    begin, end = markers(name)
    return f"{before}{begin}\n{section.strip()}\n{end}{after}"


def _split(text: str, name: str) -> tuple[str, str, str]:
    begin, end = markers(name)
    if begin not in text and end not in text:
        return (f"{text.rstrip()}\n\n" if text.strip() else ""), "", "\n"
    before, found_begin, rest = text.partition(begin)
    section, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"expected {begin} and then {end}, found one of them, or the other way round")
    return before, section, after
