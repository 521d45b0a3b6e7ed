"""What an error that is not ours says, in one line, to stand inside one that is."""

from __future__ import annotations

from pydantic import ValidationError

def first_complaint(error: ValidationError) -> str:
    """The first of a document's faults, such as "files.0.size: Input should be greater than or equal to 0"."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"])) or "document"
    return f"{place}: {first['msg']}"
