"""What a promise is here: a name, its words, and a measurement that comes to a figure and a verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """figure: what was measured, for people.  kept: whether the promise holds."""

    figure: str
    kept: bool


@dataclass(frozen=True)
class Promise:
    """text: the promise with its figure.  measure: takes whether the full counts are wanted.

    quiet_machine: its verdict is about times, which other work on the machine spoils.
    """

    name: str
    text: str
    measure: Callable[[bool], Outcome]
    quiet_machine: bool = False


class CannotBeMeasured(RuntimeError):
    """Something that this measurement needs is not here; the text says what."""
