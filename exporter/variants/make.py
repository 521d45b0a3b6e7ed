"""Make the variants that are asked for: build, prove at every batch size, measure, and keep those that pass.

A variant that cannot be made or does not pass is left out with its reason; the bundle goes without it. Those for GPUs
are made and measured on a CPU too, node by node as their graphs say; what a GPU makes of them, the server holds against
their golden answers before one serves (docs/adr/0011-gpu-variants.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bundle.golden import Golden, Infer
from bundle.manifest import GateLimits, ParityReport, Precision, PreprocessSpec, Task, Variant
from bundle.preprocess import preprocess
from bundle.reasons import first_line
from bundle.runtimes import CPU, CUDA, TENSORRT
from exporter.errors import ExportError
from exporter.evidence import spread, unchanged_images
from exporter.parity import BATCH_SIZES, cpu_infer, decisions_flipped, full_batches
from exporter.variants.fp16 import convert_fp16
from exporter.variants.gate import MOST_TOLERANCE, answer_held_out, measure
from exporter.variants.int8 import quantize_int8
from exporter.variants.int8_tensorrt import quantize_int8_tensorrt
from trainer.data.snapshot import Snapshot
from trainer.data.split import Split
from trainer.statistics import Statistics

CALIBRATION_IMAGES: Final = 128


@dataclass(frozen=True)
class Material:
    """What variants are made from and measured with.

    graph: the proven one in full precision.  recorded: (images of the snapshot, C) its logits.  images: uint8
    (N,H,W,3), those of its proof.  golden: images with its answers.
    """

    graph: bytes
    snapshot: Snapshot
    root: Path
    spec: PreprocessSpec
    task: Task
    statistics: Statistics
    recorded: NDArray[np.float32]
    images: NDArray[np.uint8]
    golden: Golden

    def calibration_images(self) -> NDArray[np.uint8]:
        """uint8 (N,H,W,3) of the training split, preprocessed. Raises ExportError where none is left unchanged."""
        rows = spread(self.snapshot.rows(Split.TRAIN), CALIBRATION_IMAGES)
        contents = unchanged_images(self.snapshot, self.root, rows.tolist())
        images = [preprocess(data, self.spec) for _, data in contents]
        if not images:
            raise ExportError("expected training images to calibrate it with, found none unchanged")
        return np.stack(images)


@dataclass(frozen=True)
class Made:
    """A variant that passed, and its files by name."""

    variant: Variant
    files: dict[str, bytes]


@dataclass(frozen=True)
class LeftOut:
    name: str
    reason: str


@dataclass(frozen=True)
class Recipe:
    """How a variant is made. doing: in a word, for whoever waits.  serves_on: see `bundle.manifest.Variant`.

    shares: of an export's time, roughly: to build it, to measure it.  infer, other_kernels: how its graph is measured,
    and what else may compute it, to see how far kernels part.
    """

    precision: Precision
    doing: str
    shares: tuple[int, int]
    build: Callable[[Material], bytes]
    infer: Callable[[bytes], Infer]
    other_kernels: Callable[[bytes], Infer]
    serves_on: tuple[str, ...] | None = None


_as_it_stands = partial(cpu_infer, optimise=False)
RECIPES: Final = {
    "fp16": Recipe(
        "fp16", "converting to", (1, 12),
        build=lambda material: convert_fp16(material.graph),
        infer=_as_it_stands,  # rounds behind each node: fused kernels leave that out
        other_kernels=cpu_infer,
        serves_on=(CUDA, TENSORRT),
    ),
    "int8": Recipe(
        "int8", "quantising to", (10, 8),
        build=lambda material: quantize_int8(material.graph, material.calibration_images()),
        infer=cpu_infer,
        other_kernels=_as_it_stands,
    ),
    "int8-tensorrt": Recipe(
        "int8", "quantising to", (5, 14),
        build=lambda material: quantize_int8_tensorrt(material.graph, material.calibration_images()),
        infer=_as_it_stands,  # a CPU's integers may overflow, a GPU's do not
        other_kernels=partial(cpu_infer, integers=False),
        serves_on=(TENSORRT,),
    ),
}  # fmt: skip


def make_variant(name: str, material: Material, limits: GateLimits, step: Callable[[str], None]) -> Made | LeftOut:
    """One variant, by its name in RECIPES. step: told what is being done, twice."""
    recipe = RECIPES[name]
    try:
        step(f"{recipe.doing} {name}")
        graph = recipe.build(material)
        step(f"measuring {name}")
        return _certified(name, recipe, graph, material, limits)
    except ExportError as error:
        return LeftOut(name, str(error).rstrip("."))


def _certified(name: str, recipe: Recipe, graph: bytes, material: Material, limits: GateLimits) -> Made | LeftOut:
    try:
        infer = recipe.infer(graph)
        infer(material.images[:1])
    except Exception as error:  # the runtime's errors share no base class
        raise ExportError(f"ONNX Runtime does not run the graph: {first_line(error)}") from error
    held_out = answer_held_out(material.snapshot, material.root, material.spec, material.recorded, infer)
    alone = _one_by_one(infer, material.images)[0]  # (N,C)
    otherwise = _one_by_one(recipe.other_kernels(graph), material.images)[0]
    apart = float(np.abs(alone - otherwise).max())
    if not apart <= MOST_TOLERANCE:
        raise ExportError(
            f"expected two kinds of kernels to differ by at most {MOST_TOLERANCE:g} of a probability, found"
            f" {apart:.3g}: another machine would give other answers than those that were measured"
        )
    certificate = measure(held_out, material.task, material.statistics, limits, CPU, apart)
    if not certificate.passed:
        found = "; ".join(certificate.failures)
        return LeftOut(name, f"on {certificate.images} {certificate.split} images {found}")
    pixels = np.stack([preprocess(image, material.spec) for image in material.golden.images])
    model_file, golden_file = f"model.{name}.onnx", f"golden.{name}.npz"
    variant = Variant(
        name=name,
        precision=recipe.precision,
        file=model_file,
        parity=_prove_batches(infer, alone, material, certificate.golden_tolerance),
        golden=golden_file,
        certificate=certificate,
        serves_on=recipe.serves_on,
    )
    golden = Golden(material.golden.images, *_one_by_one(infer, pixels))
    return Made(variant, {model_file: graph, golden_file: golden.to_bytes()})


def _prove_batches(infer: Infer, alone: NDArray[np.float32], material: Material, tolerance: float) -> ParityReport:
    """That images in batches get the answers that they get alone. Raises ExportError."""
    largest, flipped = 0.0, 0
    for size in BATCH_SIZES:
        parts = [infer(batch)[0] for batch in full_batches(material.images, size)]
        found = np.concatenate(parts)[: len(alone)]
        difference = float(np.abs(found - alone).max())
        if not difference <= tolerance:  # so that an undefined number fails too
            raise ExportError(
                f"batch size {size}: expected probabilities within {tolerance:.3g} of those of single images, found a"
                f" difference of {difference:.3g}"
            )
        largest = max(largest, difference)
        thresholds = material.statistics.thresholds.values
        flipped = max(flipped, decisions_flipped(found, alone, material.task, thresholds))
    return ParityReport(
        images=len(alone),
        batch_sizes=BATCH_SIZES,
        max_difference=largest,
        tolerance=tolerance,
        decisions_flipped=flipped,
    )


def _one_by_one(infer: Infer, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    answers = [infer(image[None]) for image in images]
    return np.concatenate([each[0] for each in answers]), np.concatenate([each[1] for each in answers])
