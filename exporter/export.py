"""Run -> signed bundle: check the run, build the graph, prove it on real images, record golden answers, make and
measure variants, sign, write.

Fails closed: the bundle file appears only after every proof has passed, whole or not at all, and an older one of the
same name stays until then. A variant that does not pass its gate is left out, and said so; full precision never is.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from bundle.golden import Golden, replay_golden
from bundle.keys import SigningKey
from bundle.manifest import (
    BackboneFacts,
    DatasetFacts,
    GateLimits,
    LicenseDemand,
    Manifest,
    ModelName,
    ModelVersion,
    ParityReport,
    TensorSpec,
    Variant,
)
from bundle.pack import describe_files, pack_bundle
from bundle.preprocess import preprocess
from bundle.sealed import Recipient
from exporter.card import render_card
from exporter.card_plots import draw_plots
from exporter.errors import ExportError
from exporter.evidence import Evidence, gather_evidence, golden_bytes
from exporter.graph import INPUT, LOGITS, PROBABILITIES, ServedClassifier, build_onnx
from exporter.parity import cpu_infer, make_reference, prove_parity
from exporter.recorded import check_statistics, read_recorded
from exporter.variants.make import RECIPES, LeftOut, Made, Material, check_variants, make_variant
from trainer.data.snapshot import Snapshot
from trainer.head import Classifier
from trainer.run import ModelChoice, ModelDescription, Run
from trainer.statistics import Statistics, models_from_json

MODEL_FILE, GOLDEN_FILE, CARD_FILE = "model.onnx", "golden.npz", "card.md"
PARITY_IMAGES = 64
GOLDEN_IMAGES = 8
SHARES = (3, 7, 4, 1)  # of the time, of what every export does before variants; each of those says its own
RECORDED_LIBRARIES = ("torch", "onnx", "onnxruntime", "transformers", "numpy", "pillow", "simplejpeg")

Step = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Exported:
    """left_out: variants that were asked for and are not in the bundle, with the reason."""

    path: Path
    manifest: Manifest
    left_out: tuple[LeftOut, ...] = ()


def export_run(
    run: Run,
    out: Path,
    key: SigningKey,
    *,
    choice: ModelChoice = "best",
    name: str | None = None,
    version: str = "1",
    images: Path | None = None,
    backbone: Path | None = None,
    variants: Sequence[str] = ("fp32",),
    limits: GateLimits = GateLimits(),  # noqa: B008 - frozen
    require_variants: bool = False,
    license: LicenseDemand | None = None,
    recipients: Sequence[Recipient] = (),
    now: datetime | None = None,
    step: Step = lambda _text, _done, _total: None,
) -> Exported:
    """Export the best or last model of a run and return what was written.

    images, backbone: where the run's images and backbone lie now, if they have moved.  variants: see
    `check_variants`.  limits: what these may lose.  require_variants: whether one that is left out is an error.
    license: what a server needs to serve it.  recipients: seal the bundle, so that these installs alone can open it.
    Raises RunError, SnapshotError or BackboneError for an incomplete run, ParityError where a proof fails, ExportError
    for all else (a name, no images, a place that cannot be written); then nothing is written.
    """
    name = checked_name(default_name(out) if name is None else name)
    version = checked_version(version)
    wanted = check_variants(variants)
    shares = [*SHARES, *(share for each in wanted[1:] for share in RECIPES[each].shares), 1]
    begun = 0

    def at(text: str) -> None:
        nonlocal begun
        step(text, sum(shares[:begun]), sum(shares))
        begun += 1

    at("loading the run")
    snapshot, description, statistics = run.snapshot(), run.model(), _statistics(run, choice)
    recorded = read_recorded(run, choice, snapshot)
    check_statistics(run, statistics, snapshot, recorded)
    spec = description.preprocessing
    root = images or Path(snapshot.root)
    evidence = gather_evidence(snapshot, root, spec, PARITY_IMAGES)
    classifier = run.classifier(choice, backbone)
    temperature = statistics.calibration.temperature

    at("building the graph")
    graph = build_onnx(ServedClassifier(classifier, description.task, temperature), spec.height, spec.width)

    at("proving parity")
    reference = make_reference(classifier, description.task, temperature, evidence.images, recorded[evidence.rows])
    infer = cpu_infer(graph)
    thresholds = statistics.thresholds.values
    parity = prove_parity(reference, infer, description.task, temperature, thresholds)

    at("recording golden answers")
    golden = _golden(classifier, description, temperature, evidence)
    draft = _manifest(name, version, now or datetime.now(UTC), snapshot, description, statistics, parity, graph)
    replay_golden(golden, draft, infer)

    material = Material(
        graph, snapshot, root, spec, description.task, statistics, recorded, evidence.images, golden
    )  # fmt: skip
    outcomes = [make_variant(each, material, limits, at) for each in wanted[1:]]
    made = [outcome for outcome in outcomes if isinstance(outcome, Made)]
    left_out = tuple(outcome for outcome in outcomes if isinstance(outcome, LeftOut))
    if left_out and require_variants:
        raise ExportError(
            "; ".join(f"{each.name} is left out: {each.reason}" for each in left_out)
            + ". Nothing was written, since every variant is required; export without it, or with wider limits."
        )
    draft = draft.model_copy(update={"variants": (*draft.variants, *(each.variant for each in made))})
    files = {MODEL_FILE: graph, GOLDEN_FILE: golden.to_bytes(), **draw_plots(draft, statistics)}
    for each in made:
        files |= each.files
    # The card shows what stands beside it.
    draft = draft.model_copy(update={"files": describe_files(files), "license": license})
    files[CARD_FILE] = render_card(draft).encode()
    manifest = Manifest.model_validate({**draft.model_dump(), "files": describe_files(files)})

    at("signing")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        pack_bundle(out, manifest, files, key, recipients)
    except OSError as error:
        raise ExportError(
            f"{out}: expected to write the bundle there, found {error.strerror or error}. Check the path, its"
            " permissions and the free space."
        ) from error
    step("done", sum(shares), sum(shares))
    return Exported(out, manifest, left_out)


def default_name(out: Path) -> str:
    """The model's name where none is given: the bundle file's, with what a name may not hold replaced by '-'."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in out.stem)
    return kept.lstrip("._-")[:100] or "model"


def checked_name(name: str) -> str:
    try:
        return TypeAdapter(ModelName).validate_python(name)
    except ValidationError as error:
        raise ExportError(
            f"model name: expected 1 to 100 letters, digits, '.', '_' or '-', a letter or digit first, since it is part"
            f" of a URL; found {name!r}. Choose another."
        ) from error


def checked_version(version: str) -> str:
    try:
        return TypeAdapter(ModelVersion).validate_python(version)
    except ValidationError as error:
        raise ExportError(
            f"model version: expected 1 to 64 letters, digits, '.', '_', '+' or '-', a letter or digit first; found"
            f" {version!r}. Choose another."
        ) from error


def _statistics(run: Run, choice: ModelChoice) -> Statistics:
    text = run.require_text(run.statistics_path)
    try:
        return models_from_json(text)[choice]
    except (ValueError, KeyError) as error:
        raise ExportError(
            f"{run.statistics_path}: expected statistics of the {choice} model, found a damaged file. Train again."
        ) from error


def _golden(classifier: Classifier, description: ModelDescription, temperature: float, evidence: Evidence) -> Golden:
    contents = tuple(golden_bytes(data) for data in evidence.image_bytes[:GOLDEN_IMAGES])
    pixels = np.stack([preprocess(data, description.preprocessing) for data in contents])
    answers = make_reference(classifier, description.task, temperature, pixels, np.zeros(0, np.float32))
    return Golden(contents, answers.probabilities, answers.logits)


def _manifest(
    name: str,
    version: str,
    now: datetime,
    snapshot: Snapshot,
    description: ModelDescription,
    statistics: Statistics,
    parity: ParityReport,
    graph: bytes,
) -> Manifest:
    spec, count = description.preprocessing, len(description.labels)
    train = snapshot.label_matrix[snapshot.splits == 0].sum(0)
    scores = ("batch", count)
    placeholder = describe_files({MODEL_FILE: graph, GOLDEN_FILE: b"", CARD_FILE: b""})
    return Manifest(
        model_id=hashlib.sha256(graph).hexdigest(),
        name=name,
        version=version,
        created_at=now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        task=description.task,
        labels=description.labels,
        thresholds=statistics.thresholds.values,
        calibration=statistics.calibration,
        unknown=statistics.unknown,
        preprocessing=spec,
        input=TensorSpec(name=INPUT, dtype="uint8", shape=("batch", spec.height, spec.width, 3)),
        outputs=(
            TensorSpec(name=PROBABILITIES, dtype="float32", shape=scores),
            TensorSpec(name=LOGITS, dtype="float32", shape=scores),
        ),
        backbone=BackboneFacts(
            name=description.backbone.name,
            sha256=description.backbone.sha256,
            fine_tuned=description.encoder_trained,
        ),
        dataset=DatasetFacts(
            snapshot_sha256=snapshot.sha256_digest,
            images={split: result.images for split, result in statistics.splits.items()},
            label_counts={label: int(n) for label, n in zip(description.labels, train, strict=True)},
        ),
        metrics={split: dict(result.metrics) for split, result in statistics.splits.items()},
        variants=(Variant(name="fp32", precision="fp32", file=MODEL_FILE, parity=parity),),
        golden=GOLDEN_FILE,
        library_versions={name: importlib.metadata.version(name) for name in RECORDED_LIBRARIES},
        files=placeholder,
    )
