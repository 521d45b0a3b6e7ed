"""The proof that the shipped graph answers as the trained model does, from real image bytes to final probabilities.

Two comparisons, both fatal: against the trained network (PyTorch) within a tight tolerance at several batch sizes, and
against the scores that the run's report was made from, so that what the report says is what the server does. Both look
at the logits too: a sure model's probabilities hide what is wrong below them, and unknown images are told by logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from bundle.decide import probabilities_from_logits
from bundle.golden import Infer
from bundle.manifest import ParityReport, Task
from exporter.errors import ParityError
from exporter.graph import INPUT, LOGITS, PROBABILITIES
from trainer.head import Classifier

BATCH_SIZES = (1, 2, 7, 32)
TOLERANCE = 1e-5  # of a probability, against PyTorch
REPORT_TOLERANCE = 1e-4  # of a probability, against the run's recorded scores (other batch sizes, another graph)
LOGIT_TOLERANCE = 1e-3  # of a logit or of 1, whichever is larger, against PyTorch
REPORT_LOGIT_TOLERANCE = 1e-2  # likewise, against the run's recorded scores


@dataclass(frozen=True)
class Reference:
    """What the trained network says of some images.

    images: uint8 (N,H,W,3).  probabilities, logits: float32 (N,C).  recorded: float32 (N,C) logits of the run's report;
    None where there is no run, and nothing to hold the network's own answers against.
    """

    images: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    logits: NDArray[np.float32]
    recorded: NDArray[np.float32] | None = None


def make_reference(
    classifier: Classifier,
    task: Task,
    temperature: float,
    images: NDArray[np.uint8],
    recorded: NDArray[np.float32] | None = None,
) -> Reference:
    classifier.eval()
    with torch.inference_mode():
        parts = [classifier(torch.from_numpy(images[i : i + 32])).numpy() for i in range(0, len(images), 32)]
    logits = np.concatenate(parts)
    return Reference(images, probabilities_from_logits(logits, task, temperature), logits, recorded)


def cpu_infer(onnx_bytes: bytes, *, optimise: bool = True, integers: bool = True) -> Infer:
    """The graph on ONNX Runtime's CPU provider, with the settings of the server's engine.

    optimise: False computes each node as it stands, without the runtime's fused kernels.  integers: False computes a
    quantised graph in floats, as exactly as a GPU's wide sums do.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if not integers:
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = ort.InferenceSession(onnx_bytes, options, providers=["CPUExecutionProvider"])

    def infer(images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        probabilities, logits = session.run([PROBABILITIES, LOGITS], {INPUT: images})
        return probabilities, logits

    return infer


def prove_parity(
    reference: Reference,
    infer: Infer,
    task: Task,
    temperature: float,
    thresholds: Sequence[float],
    *,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    tolerance: float = TOLERANCE,
    logit_tolerance: float = LOGIT_TOLERANCE,
) -> ParityReport:
    """Run the images through the graph at every batch size and compare. Raises ParityError where anything differs."""
    largest = 0.0
    flipped = 0
    expected = reference.probabilities
    for size in batch_sizes:
        answers = [infer(batch) for batch in full_batches(reference.images, size)]
        found, logits = (np.concatenate(parts)[: len(expected)] for parts in zip(*answers, strict=True))
        for name, array in (("probabilities", found), ("logits", logits)):
            if array.shape != expected.shape:
                raise ParityError(
                    f"batch size {size}: expected {name} of shape {expected.shape}, found {array.shape}. The exported"
                    " graph is broken; nothing was written."
                )
            if not np.isfinite(array).all():
                broken = (~np.isfinite(array)).any(axis=1)
                raise ParityError(
                    f"batch size {size}: expected finite {name}, found NaN or infinity for {broken.sum()} of"
                    f" {len(array)} images. The exported graph is broken; nothing was written."
                )
        difference = np.abs(found.astype(np.float64) - expected).max(axis=1)  # (N,C) -> (N,)
        worst = int(difference.argmax())
        if difference[worst] > tolerance:
            raise ParityError(
                f"batch size {size}, image {worst}: expected probabilities within {tolerance:g} of the trained model's,"
                f" found a difference of {difference[worst]:.2g}. Nothing was written."
            )
        if (apart := _logits_apart(logits, reference.logits)) > logit_tolerance:
            raise ParityError(
                f"batch size {size}: expected logits within {logit_tolerance:g} of the trained model's, found a"
                f" difference of {apart:.2g}. Nothing was written."
            )
        largest = max(largest, float(difference[worst]))
        flipped = max(flipped, decisions_flipped(found, expected, task, thresholds))
    if reference.recorded is not None:
        _check_recorded(reference, reference.recorded, task, temperature)
    return ParityReport(
        images=len(expected),
        batch_sizes=tuple(batch_sizes),
        max_difference=largest,
        tolerance=tolerance,
        decisions_flipped=flipped,
    )


def _check_recorded(reference: Reference, recorded: NDArray[np.float32], task: Task, temperature: float) -> None:
    probabilities = probabilities_from_logits(recorded, task, temperature)
    difference = float(np.abs(probabilities.astype(np.float64) - reference.probabilities).max())
    apart = _logits_apart(recorded, reference.logits)
    if difference > REPORT_TOLERANCE or apart > REPORT_LOGIT_TOLERANCE:
        raise ParityError(
            f"expected the model to give the scores that the run's statistics were made from, within"
            f" {REPORT_TOLERANCE:g} of a probability, found a difference of {difference:.2g} (of a logit: {apart:.2g}):"
            " weights, images or backbone have changed since training. Nothing was written; train again."
        )


def _logits_apart(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """The largest difference, as a share of the logit where that is larger than 1."""
    difference = np.abs(found.astype(np.float64) - expected)
    return float((difference / np.maximum(1.0, np.abs(expected))).max())


def full_batches(images: NDArray[np.uint8], size: int) -> list[NDArray[np.uint8]]:
    """Full batches only: the last one is filled up with the first images."""
    count = -(-len(images) // size) * size
    indices = np.arange(count) % len(images)
    return [images[indices[start : start + size]] for start in range(0, count, size)]


def decisions_flipped(
    found: NDArray[np.float32], expected: NDArray[np.float32], task: Task, thresholds: Sequence[float]
) -> int:
    """Images that are answered differently: another top label, or (multi-label) other labels above their thresholds."""
    if task is Task.SINGLE_LABEL:
        return int((found.argmax(1) != expected.argmax(1)).sum())
    limits = np.asarray(thresholds, np.float32)
    return int(((found >= limits) != (expected >= limits)).any(1).sum())
