"""Run -> signed bundle: check the run, build the graph, prove it on real images, record golden answers, make and
measure variants, sign, write.

Fails closed: the bundle file appears only after every proof has passed, whole or not at all, and an older one of the
same name stays until then. A variant that does not pass its gate is left out, and said so; full precision never is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from bundle.golden import Golden, replay_golden
from bundle.keys import SigningKey
from bundle.manifest import (
    BackboneFacts,
    DatasetFacts,
    GateLimits,
    LicenseDemand,
    Manifest,
)
from bundle.preprocess import preprocess
from bundle.sealed import Recipient
from exporter.card_plots import draw_plots
from exporter.errors import ExportError
from exporter.evidence import GOLDEN_IMAGES, PARITY_IMAGES, Evidence, gather_evidence, golden_bytes
from exporter.graph import ServedClassifier, build_onnx
from exporter.parity import cpu_infer, make_reference, prove_parity
from exporter.recorded import check_statistics, decided_by, read_recorded
from exporter.variants.make import RECIPES, LeftOut, Made, Material, make_variant
from exporter.variants.names import check_variants
from exporter.writing import GOLDEN_FILE, MODEL_FILE, Step, check_place, checked_names, draft_manifest, write_bundle
from trainer.data.snapshot import Snapshot
from trainer.head import Classifier
from trainer.run import ModelDescription, Run
from trainer.run_folder import ModelChoice
from trainer.statistics import Statistics, models_from_json

SHARES = (3, 7, 4, 1)  # of the time, of what every export does before variants; each of those says its own


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
    thresholds: Mapping[str, float] | None = None,
    license: LicenseDemand | None = None,
    recipients: Sequence[Recipient] = (),
    now: datetime | None = None,
    step: Step = lambda _text, _done, _total: None,
) -> Exported:
    """Export the best or last model of a run and return what was written.

    images, backbone: where the run's images and backbone lie now, if they have moved.  variants: see
    `check_variants`.  limits: what these may lose.  require_variants: whether one that is left out is an error.
    thresholds: of labels that are to be decided by another than the run's; figures are measured anew with them.
    license: what a server needs to serve it.  recipients: seal the bundle, so that these installs alone can open it.
    Raises RunError, SnapshotError or BackboneError for an incomplete run, ParityError where a proof fails, ExportError
    for all else (a name, no images, a place that cannot be written); then nothing is written.
    """
    name, version = checked_names(out, name, version)
    check_place(out)
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
    if thresholds:
        statistics = decided_by(statistics, thresholds, snapshot, recorded)
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
    parity = prove_parity(reference, infer, description.task, temperature, statistics.thresholds.values)

    at("recording golden answers")
    golden = _golden(classifier, description, temperature, evidence)
    draft = draft_manifest(
        graph, parity, spec, description.labels, now, name=name, version=version, license=license,
        **_facts(snapshot, description, statistics),
    )  # fmt: skip
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

    at("signing")
    manifest = write_bundle(out, draft, files, key, recipients)
    step("done", sum(shares), sum(shares))
    return Exported(out, manifest, left_out)


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
    answers = make_reference(classifier, description.task, temperature, pixels)
    return Golden(contents, answers.probabilities, answers.logits)


def _facts(snapshot: Snapshot, description: ModelDescription, statistics: Statistics) -> dict[str, Any]:
    """What the manifest says of the network, its training images and how good it is."""
    train = snapshot.label_matrix[snapshot.splits == 0].sum(0)
    return {
        "task": description.task,
        "thresholds": statistics.thresholds.values,
        "calibration": statistics.calibration,
        "unknown": statistics.unknown,
        "backbone": BackboneFacts(
            name=description.backbone.name,
            sha256=description.backbone.sha256,
            fine_tuned=description.encoder_trained,
        ),
        "dataset": DatasetFacts(
            snapshot_sha256=snapshot.sha256_digest,
            images={split: result.images for split, result in statistics.splits.items()},
            label_counts={label: int(n) for label, n in zip(description.labels, train, strict=True)},
        ),
        "metrics": {split: dict(result.metrics) for split, result in statistics.splits.items()},
    }
