"""What an error that is not ours says, in one line, to stand inside one that is."""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

MOST_CHARACTERS: Final = 300


def first_line(error: BaseException) -> str:
    """The first line of its text that holds anything, at most 300 characters; its type's name where there is none."""
    lines = (line.strip() for line in str(error).splitlines())
    return next((line[:MOST_CHARACTERS] for line in lines if line), type(error).__name__)


def first_complaint(error: ValidationError) -> str:
    """The first of a document's faults, such as "files.0.size: Input should be greater than or equal to 0".

    Of fields that do not fit each other there is no one place: our own words name them.
    """
    first = error.errors()[0]
    complaint = first["msg"].removeprefix("Value error, ")
    return ": ".join(filter(None, (".".join(map(str, first["loc"])), complaint)))
