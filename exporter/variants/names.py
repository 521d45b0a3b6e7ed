"""The forms of a model that may be asked for, by name. Takes no time to import: knows nothing of how they are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from exporter.errors import ExportError

FULL: Final = "fp32"
VARIANTS: Final = (FULL, "fp16", "int8", "int8-tensorrt")
GROUPS: Final = {"cpu": ("int8",), "gpu": ("fp16", "int8-tensorrt"), "all": VARIANTS}


def check_variants(names: Sequence[str]) -> tuple[str, ...]:
    """The names, each once, in the order of VARIANTS; a group's name stands for its variants.

    Full precision is always the first, since the others are measured against it. Raises ExportError for an unknown one.
    """
    for name in names:
        if name not in VARIANTS and name not in GROUPS:
            raise ExportError(
                f"--variants: expected any of {', '.join(VARIANTS)}, or one of {', '.join(GROUPS)}; found {name!r}."
                " Choose of those."
            )
    wanted = {FULL, *(variant for name in names for variant in GROUPS.get(name, (name,)))}
    return tuple(name for name in VARIANTS if name in wanted)
