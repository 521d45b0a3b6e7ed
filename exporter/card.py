"""card.md: the model in plain words, figures and plots, for whoever opens a bundle. Says only what the manifest says.

Plots are SVG files beside it, signed like all others: most viewers show those, and few show pictures within the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from bundle.manifest import Certificate, Imported, Manifest, MetricEstimate, Task, Variant
from exporter.card_plots import HOW_TO_READ, PLOTS, VARIANTS
from trainer.report.glossary import glossary
from trainer.report.views import metric_name

SPLIT_ORDER = ("test", "validation", "train")
METRIC_ORDER = (
    "accuracy", "mean_average_precision", "exact_match", "hamming_loss", "f1_macro", "f1_micro", "f1_weighted",
    "cross_entropy", "mcc", "mcc_macro", "expected_calibration_error",
)  # fmt: skip


def render_card(manifest: Manifest) -> str:
    """Markdown; every figure with its 95 % interval where there is one."""
    images = sorted(manifest.dataset.images.items(), key=lambda item: _place_in(SPLIT_ORDER[::-1])(item[0]))
    counts = ", ".join(f"{count:,} {split}" for split, count in images)
    spec = manifest.preprocessing
    several = manifest.task is Task.MULTI_LABEL
    kind = "any number of labels an image" if several else "one label an image"
    trained = "its weights trained too" if manifest.backbone.fine_tuned else "frozen"
    tested = "Intervals are 95 % bootstrap intervals. " + (
        "Test figures are of images that neither training nor the choice of the model has seen; validation figures"
        " flatter, since the model was chosen on them."
        if "test" in manifest.metrics
        else "There were no test images: validation figures flatter, since the model was chosen on them."
    )
    made = "Imported" if manifest.imported else "Exported"
    trained_on = [
        "## What it was trained on",
        "",
        f"{counts} images; snapshot `{manifest.dataset.snapshot_sha256[:16]}`. Backbone: {manifest.backbone.name}"
        f" (`{manifest.backbone.sha256[:16]}`), {trained}.",
        "",
        "| label | training images |" + (" threshold |" if several else ""),
        "|---|---:|" + ("---:|" if several else ""),
        *(
            f"| {_cell(label)} | {manifest.dataset.label_counts.get(label, 0):,} |"
            + (f" {threshold:.3f} |" if several else "")
            for label, threshold in zip(manifest.labels, manifest.thresholds, strict=True)
        ),
    ]
    lines = [
        f"# {manifest.name} {manifest.version}",
        "",
        f"An image classifier: {len(manifest.labels)} labels, {kind}. {made} {manifest.created_at} by Onsight.",
        "",
        "## How good it is",
        "",
        *(_imported_quality(manifest) if manifest.imported else (*_metrics_table(manifest), "", tested)),
        "",
        *_pictures(manifest, [name for name in PLOTS if name != VARIANTS]),
        *(_imported_origin(manifest, manifest.imported) if manifest.imported else trained_on),
        "",
        "## What it takes and gives",
        "",
        f"Image bytes, resized to {spec.width}x{spec.height} pixels ({spec.resize.replace('_', ' ')}); probabilities"
        f" after a temperature of {manifest.calibration.temperature:.3f}.",
        "",
        "## Proof",
        "",
        "| variant | images | batch sizes | largest difference | tolerance | decisions flipped |",
        "|---|---:|---|---:|---:|---:|",
    ]
    for variant in manifest.variants:
        parity = variant.parity
        sizes = ", ".join(str(size) for size in parity.batch_sizes)
        lines.append(
            f"| {variant.name} | {parity.images} | {sizes} | {parity.max_difference:.1e} | {parity.tolerance:.0e}"
            f" | {parity.decisions_flipped} |"
        )
    if any(variant.certificate is not None for variant in manifest.variants):
        lines += ["", "## Variants", "", *_pictures(manifest, [VARIANTS]), *_sizes(manifest)]
        lines += [
            "",
            "The interval of full precision is over images; a variant's is that of its difference from full precision"
            " on the same images.",
        ]
    for variant in manifest.variants:
        if variant.certificate is not None:
            lines += ["", *_certificate(variant, variant.certificate, manifest.task)]
    lines += [
        "",
        "## Limits",
        "",
        "It knows only the labels above, and claims "
        + ("none to all" if several else "one")
        + (" of them of any image that it does not call unknown." if manifest.unknown else " of them of any image.")
        + " `golden.npz` holds a few of the images that it was"
        f" {'proven with' if manifest.imported else 'trained or tested on'}, to prove itself where it runs.",
        "",
    ]
    return "\n".join(lines)


def _pictures(manifest: Manifest, names: Sequence[str]) -> list[str]:
    listed = {entry.name for entry in manifest.files}
    lines = []
    for name in names:
        if name in listed:
            lines += [f"![{PLOTS[name]}]({name})", "", *((HOW_TO_READ[name], "") if name in HOW_TO_READ else ())]
    return lines


def _sizes(manifest: Manifest) -> list[str]:
    sizes = {entry.name: entry.size for entry in manifest.files}
    return [
        "| variant | file | MB | serves on |",
        "|---|---|---:|---|",
        *(
            f"| {each.name} | `{each.file}` | {sizes[each.file] / 1e6:.1f} | {', '.join(each.runtimes) or 'all'} |"
            for each in manifest.variants
        ),
    ]


def _imported_quality(manifest: Manifest) -> list[str]:
    if not manifest.metrics:
        return ["Not measured here: it was imported without labelled test images."]
    images = ", ".join(f"{count:,} {split}" for split, count in sorted(manifest.dataset.images.items()))
    return [
        *_metrics_table(manifest),
        "",
        f"On {images} images, given when it was imported. Intervals are 95 % bootstrap intervals. Whether the model was"
        " trained on some of them is not known here.",
    ]


def _imported_origin(manifest: Manifest, imported: Imported) -> list[str]:
    """Of a model that was trained elsewhere: where from, what was found, what was done about it."""
    source = "an ONNX file" if imported.source == "onnx" else "a transformers folder"
    return [
        "## Where it comes from",
        "",
        f"It was trained elsewhere and imported from {source}, {_cell(manifest.backbone.name)}"
        f" (`{imported.sha256[:16]}`), whose output is {imported.output}. The proof below"
        f" holds it against that original on {imported.proof_images} images. What it was trained on is not known here.",
        *(line for note in imported.notes for line in ("", f"- {_cell(note)}")),
        "",
        f"Labels: {', '.join(_cell(label) for label in manifest.labels)}.",
    ]


def _certificate(variant: Variant, certificate: Certificate, task: Task) -> list[str]:
    """How a variant compares with full precision, and what it was allowed."""
    limits, name = certificate.limits, variant.name
    metric = metric_name(certificate.metric, glossary(task))
    lines = [
        f"`{name}` differs from full precision on {certificate.images:,} {certificate.split} images, which neither its"
        " making nor its calibration has seen; its row under Proof compares its batches with single images. Measured on"
        f" {certificate.provider}, for {' and '.join(variant.runtimes)}.",
        "",
        f"| {name} | full precision | {name} | difference | limit |",
        "|---|---:|---:|---:|---:|",
        f"| {metric} | {certificate.full:.4f} | {certificate.value:.4f} | {_estimate(certificate.loss)} lost"
        f" | {limits.max_loss:g} |",
        f"| agreement | | {certificate.agreement:.4f} | | {limits.min_agreement:g} |",
    ]
    if certificate.rejected_full is not None and certificate.rejected is not None:
        lines.append(
            f"| called unknown | {certificate.rejected_full:.4f} | {certificate.rejected:.4f}"
            f" | {certificate.rejected - certificate.rejected_full:+.4f} | {limits.max_rejected_change:g} |"
        )
    return [
        *lines,
        f"| largest difference of a probability | | | {certificate.max_difference:.3f} | |",
        f"| images answered differently | | | {certificate.decisions_flipped} | |",
    ]


def _metrics_table(manifest: Manifest) -> list[str]:
    metrics, terms = manifest.metrics, glossary(manifest.task)
    splits = sorted(metrics, key=_place_in(SPLIT_ORDER))
    names = sorted({name for split in splits for name in metrics[split]}, key=_place_in(METRIC_ORDER))
    lines = ["| | " + " | ".join(splits) + " |", "|---|" + "---:|" * len(splits)]
    for name in names:
        cells = [_estimate(metrics[split].get(name)) for split in splits]
        lines.append(f"| {_cell(metric_name(name, terms))} | " + " | ".join(cells) + " |")
    return lines


def _place_in(order: Sequence[str]) -> Callable[[str], tuple[int, str]]:
    """Sort key: known names in their order, then the others by alphabet; a manifest's own order means nothing."""
    return lambda name: (order.index(name) if name in order else len(order), name)


def _estimate(estimate: MetricEstimate | None) -> str:
    if estimate is None:
        return ""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def _cell(text: str) -> str:
    """Of others' words: no part of them begins a cell, a link, a picture, HTML or code."""
    return re.sub(r"[\\|<\[`]", r"\\\g<0>", text).replace("\n", " ")
