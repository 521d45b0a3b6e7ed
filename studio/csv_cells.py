"""Cells of CSV that people open in a spreadsheet, which would run one that begins like a formula."""

from __future__ import annotations

from typing import Final

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def text_cell(text: str) -> str:
    """With an apostrophe before what would be run, which makes it text."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def plain_cell(cell: str) -> str:
    """What `text_cell` made a cell of."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell
