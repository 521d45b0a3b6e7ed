"""What both kinds of source come to: the wrapped graph, and the original model to hold it against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bundle.manifest import Task
from exporter.errors import ExportError
from exporter.importing.preprocessing import Preprocessing

# float32 (N,H,W,3), the values that the original takes -> its scores (N,C): probabilities or None, and logits
Answer = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32] | None, NDArray[np.float32]]]


@dataclass(frozen=True)
class Original:
    """A foreign model, read.

    sha256: of its files.  answer: what the model says as it stands, until `build` is called.  build: ONNX bytes in the
    shipped form, once, since the model is used up by it; raises ExportError.  labels: what it says itself, or None.
    output: what its own output is, and how that was found.  tolerance, logit_tolerance: of the proof; wider for half
    precision.  fixed_batch: what the original's batch was fixed at, if it was.  quantised: whether it rounds its input
    to steps.
    """

    kind: Literal["onnx", "transformers"]
    name: str
    sha256: str
    answer: Answer
    build: Callable[[], bytes]
    preprocessing: Preprocessing
    height: int
    width: int
    outputs: int
    task: Task
    labels: list[str] | None
    output: Literal["logits", "probabilities"]
    output_found: str
    tolerance: float
    logit_tolerance: float
    fixed_batch: int | None = None
    quantised: bool = False
    notes: list[str] = field(default_factory=list)


def task_of_one_output(source: Path, says: Task | None, because: str, asked: Task | None, notes: list[str]) -> Task:
    """One output is one label, present or not: as one of several that exclude each other it would be 100 % always.

    says: what the model says of itself, because of what.  asked: what the user says. Raises ExportError where either of
    them wants a single-label model.
    """
    if Task.SINGLE_LABEL in (says, asked):
        found, todo = (
            (f"one, with {because}", "Export it with an output for each label, or as one logit or Sigmoid.")
            if says is Task.SINGLE_LABEL
            else ("one", "Leave --task out: one output is one label, present or not.")
        )
        raise ExportError(
            f"{source}: expected two outputs or more of a single-label model, found {found}, which is 100 % whatever"
            f" the image. {todo}"
        )
    if says is None and asked is None:
        notes.append("one output is one label, present or not: it is taken as multi-label, with a sigmoid")
    return Task.MULTI_LABEL
