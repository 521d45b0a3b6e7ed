"""A foreign model -> signed bundle: read and wrap it, prove it against the original, measure it, sign, write.

Fails closed as an export does: the file appears only after the proof, whole or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bundle.decide import probabilities_from_logits
from bundle.golden import Golden, Infer, replay_golden
from bundle.keys import SigningKey
from bundle.manifest import BackboneFacts, DatasetFacts, Imported, LicenseDemand, Manifest, PreprocessSpec, Task
from bundle.preprocess import preprocess
from bundle.reasons import first_line
from exporter.errors import ExportError, ParityError
from exporter.evidence import GOLDEN_IMAGES, PARITY_IMAGES, golden_bytes
from exporter.importing.held_out import HeldOut, measure_held_out
from exporter.importing.labels import fit_labels, read_labels
from exporter.importing.onnx_source import OutputForm, fixed_batch, open_onnx
from exporter.importing.original import Original
from exporter.importing.preprocessing import Preprocessing
from exporter.importing.proof_images import folder_images, generated_files
from exporter.importing.transformers_source import open_transformers
from exporter.parity import Reference, cpu_infer, prove_parity
from exporter.writing import GOLDEN_FILE, MODEL_FILE, Step, check_place, checked_names, draft_manifest, write_bundle

STEPS = 6
VALUE_TOLERANCE = 1e-5  # of the largest value


@dataclass(frozen=True)
class ImportedModel:
    """notes: what the user should know, a sentence each."""

    path: Path
    manifest: Manifest
    notes: tuple[str, ...]
    output_found: str


def import_model(
    source: Path,
    out: Path,
    key: SigningKey,
    *,
    labels: Path | None = None,
    preprocessing: Preprocessing | None = None,
    task: Task | None = None,
    output: OutputForm | None = None,
    output_name: str | None = None,
    name: str | None = None,
    version: str = "1",
    images: Path | None = None,
    test: Path | None = None,
    license: LicenseDemand | None = None,
    now: datetime | None = None,
    step: Step = lambda _text, _done, _total: None,
) -> ImportedModel:
    """Make a bundle of an ONNX file or a local `transformers` folder.

    images: a folder to prove it with; without it the test images, else generated ones.  test: class folders, named
    as the labels are.  license: what a server needs to serve it.  Raises ExportError, ParityError, BackboneError or
    DatasetError; then nothing is written.
    """
    name, version = checked_names(out, name, version)
    check_place(out)
    step("reading the model", 0, STEPS)
    original = _open(source, preprocessing, task, output, output_name)
    notes = list(original.notes)
    named = original.labels if labels is None else read_labels(labels)
    if named is None:
        raise ExportError(
            f"{source}: expected --labels, a file with a label for each of its {original.outputs} outputs, found none."
        )
    fitted = fit_labels(named, original.outputs, notes)

    step("loading images", 1, STEPS)
    spec = original.preprocessing.spec(original.height, original.width)
    folder = images or test
    contents = generated_files() if folder is None else folder_images(folder, spec, PARITY_IMAGES)

    step("proving parity", 2, STEPS)
    thresholds = (0.5 if original.task is Task.MULTI_LABEL else 0.0,) * original.outputs
    reference = _reference(original, contents, spec)
    graph = original.build()
    infer = _runs(source, graph, original.fixed_batch, reference.images[:2])
    parity = prove_parity(
        reference, infer, original.task, 1.0, thresholds,
        tolerance=original.tolerance, logit_tolerance=original.logit_tolerance,
    )  # fmt: skip

    step("measuring on test images", 3, STEPS)
    held_out = HeldOut() if test is None else measure_held_out(test, fitted, original.task, spec, infer)

    step("recording golden answers", 4, STEPS)
    kept = tuple(golden_bytes(data) for data in contents[:GOLDEN_IMAGES])
    answers = [infer(preprocess(data, spec)[None]) for data in kept]
    golden = Golden(kept, *(np.concatenate(part) for part in zip(*answers, strict=True)))
    draft = draft_manifest(
        graph,
        parity,
        spec,
        fitted,
        now,
        name=name,
        version=version,
        license=license,
        task=original.task,
        thresholds=thresholds,
        backbone=BackboneFacts(name=original.name, sha256=original.sha256, fine_tuned=False),
        dataset=DatasetFacts(snapshot_sha256=held_out.sha256, images=held_out.images, label_counts={}),
        metrics=held_out.metrics,
        imported=Imported(
            source=original.kind,
            sha256=original.sha256,
            output=original.output,
            proof_images="generated" if folder is None else "real",
            notes=tuple(notes),
        ),
    )
    replay_golden(golden, draft, infer)
    del infer  # a large model's memory

    step("signing", 5, STEPS)
    manifest = write_bundle(out, draft, {MODEL_FILE: graph, GOLDEN_FILE: golden.to_bytes()}, key)
    step("done", STEPS, STEPS)
    return ImportedModel(out, manifest, tuple(notes), original.output_found)


def _open(
    source: Path,
    preprocessing: Preprocessing | None,
    task: Task | None,
    output: OutputForm | None,
    output_name: str | None,
) -> Original:
    if source.is_dir():
        if output is not None or output_name is not None:
            raise ExportError(
                "--output, --output-name: a transformers folder says itself what it gives. Leave them out."
            )
        return open_transformers(source, preprocessing, task=task)
    if source.suffix.lower() != ".onnx":
        found = "another file" if source.exists() else "nothing there"
        raise ExportError(f"{source}: expected an .onnx file or a local transformers folder, found {found}.")
    return open_onnx(source, preprocessing, task=task, output=output, output_name=output_name)


def _runs(source: Path, graph: bytes, fixed: int | None, images: NDArray[np.uint8]) -> Infer:
    """The wrapped graph, that runs on a batch of two. fixed: what the original's batch was fixed at, if it was."""
    try:
        infer = cpu_infer(graph)
        infer(images)
    except Exception as error:  # the runtime's errors share no base class
        if fixed is not None:
            raise fixed_batch(source, fixed, error) from error
        raise ExportError(
            f"{source}: expected a model that runs on several images at once, ONNX Runtime says: {first_line(error)}"
        ) from error
    return infer


def _reference(original: Original, contents: list[bytes], spec: PreprocessSpec) -> Reference:
    """What the original says of the images, prepared without a part of the graph that is to be proven."""
    images = np.stack([preprocess(data, spec) for data in contents])
    parts = [original.answer(_values(original, images[i : i + 16])) for i in range(0, len(images), 16)]
    logits = np.concatenate([part[1] for part in parts])
    given = [part[0] for part in parts if part[0] is not None]
    for scores in (logits, *given):
        if not np.isfinite(scores).all():
            raise ExportError(
                f"{original.name}: expected a number for each label, found {_not_finite(scores)}: the model itself"
                " answers so. Check --preprocessing, whose values may be too large for it, or export it again."
            )
    probabilities = np.concatenate(given) if given else probabilities_from_logits(logits, original.task)
    return Reference(images, probabilities, logits)


def _not_finite(scores: NDArray[np.float32]) -> str:
    """In words, such as "NaN for 3 of 32 images"."""
    kinds = [name for name, test in (("NaN", np.isnan), ("infinity", np.isinf)) if test(scores).any()]
    return f"{' and '.join(kinds)} for {(~np.isfinite(scores)).any(axis=1).sum()} of {len(scores)} images"


def _values(original: Original, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """float32 (N,H,W,3) that the original takes, by the formula; to the graph's last bit where it rounds to steps.

    There one bit may be a step of a pixel, which a network turns into 0.1 of a probability: that says nothing of the
    graph.
    """
    values = original.preprocessing.values(images)
    if not original.quantised:
        return values
    in_graph = original.preprocessing.values_in_graph(images)
    if not np.allclose(in_graph, values, rtol=0, atol=VALUE_TOLERANCE * max(1.0, float(np.abs(values).max()))):
        raise ParityError(
            "expected the graph to prepare pixels by the formula, found other values. Nothing was written."
        )
    return in_graph
