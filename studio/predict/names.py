"""How a trained model is called from outside: a name made of its training's, and its training's id as the version."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from trainer.run_folder import ModelChoice

_LAST: Final = "-last"
_NAMELESS: Final = "model"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which model a caller means. training: public id, or None for the newest of the name."""

    training: str | None
    choice: ModelChoice


def model_name(training_name: str) -> str:
    """As it stands in addresses and bundles: small letters, digits, dots and dashes. "Waste 2024" -> "waste-2024"."""
    plain = unicodedata.normalize("NFKD", training_name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9.]+", "-", plain).strip("-.")[:64].rstrip("-.") or _NAMELESS


def version_of(training: str, choice: ModelChoice) -> str:
    """training: public id."""
    return training if choice == "best" else training + _LAST


def wanted_of(version: str | None) -> Wanted:
    """What a caller's version means: nothing, `best`, `last`, or what `version_of` made."""
    if version in (None, "best", "last"):
        return Wanted(None, "last" if version == "last" else "best")
    assert version is not None
    choice: ModelChoice = "last" if version.endswith(_LAST) else "best"
    return Wanted(version.removesuffix(_LAST), choice)
