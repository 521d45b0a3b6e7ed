"""Answer for many images, a few at a time: what comes in is read, answered and let go, however many there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from bundle.errors import ImageError
from bundle.manifest import Manifest
from server.models.model import Prediction, ServedModel
from server.problems import Problem, problem_of
from studio.errors import Invalid
from studio.images.archives import Entry

TOGETHER: Final = 8
EVERY: Final = "*"  # label


@dataclass(frozen=True, slots=True)
class Answered:
    """One image. answer: or why there is none.  data: the file's bytes, where it could be read.

    inference_ms: its share of the time of those that were answered together.
    """

    name: str
    answer: Prediction | Problem
    data: bytes | None
    inference_ms: float = 0.0


def answer_all(model: ServedModel, entries: Iterable[Entry], deadline: float | None = None) -> Iterator[Answered]:
    """In the entries' order. Raises EngineError, Overloaded, and what the entries raise."""
    left = iter(entries)
    while group := list(islice(left, TOGETHER)):
        good = [entry for entry in group if entry.data is not None]
        answers = iter(model.predict_many([entry.data or b"" for entry in good], deadline))
        for entry in group:
            answer: Prediction | ImageError | Problem
            answer = Problem(422, entry.code, entry.detail) if entry.data is None else next(answers)
            if isinstance(answer, ImageError):
                answer = problem_of(answer, "")
            share = answer.inference_ms / len(good) if isinstance(answer, Prediction) else 0.0
            yield Answered(entry.name, answer, entry.data, share)


def chosen_thresholds(manifest: Manifest, given: Iterable[str]) -> tuple[float, ...] | None:
    """One a label in the manifest's order. given: `label:0.5`, or `*:0.5` for all; other labels keep theirs.

    None where nothing is given. Raises Invalid.
    """
    values = dict(zip(manifest.labels, manifest.thresholds, strict=True))
    changed = False
    for text in given:
        label, _, number = text.rpartition(":")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if label not in {*values, EVERY} or not 0 <= value <= 1:
            raise Invalid(
                f"threshold: expected `label:number`, a label of the model and a number from 0 to 1, found {text!r}."
            )
        values |= {label: value} if label in values else dict.fromkeys(values, value)
        changed = True
    return tuple(values.values()) if changed else None
