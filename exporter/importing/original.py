"""What both kinds of source come to: the wrapped graph, and the original model to hold it against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bundle.manifest import Task
from exporter.importing.preprocessing import Preprocessing

# float32 (N,H,W,3), the values that the original takes -> its scores (N,C): probabilities or None, and logits
Answer = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32] | None, NDArray[np.float32]]]


@dataclass(frozen=True)
class Original:
    """A foreign model, read.

    sha256: of its files.  graph: ONNX bytes in the shipped form.  labels: what it says itself, or None.  output: what
    its own output is, and how that was found.  tolerance, logit_tolerance: of the proof; wider for half precision.
    fixed_batch: what the original's batch was fixed at, if it was.  quantised: whether it rounds its input to steps.
    """

    kind: Literal["onnx", "transformers"]
    name: str
    sha256: str
    graph: bytes
    answer: Answer
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
