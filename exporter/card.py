"""card.md: the model in plain words and figures, for whoever opens a bundle. Says only what the manifest says."""

from __future__ import annotations

from bundle.manifest import Manifest, MetricEstimate, Task


def render_card(manifest: Manifest) -> str:
    """Markdown; every figure with its 95 % interval where there is one."""
    kind = "one label an image" if manifest.task is Task.SINGLE_LABEL else "any number of labels an image"
    counts = ", ".join(f"{count:,} {split}" for split, count in manifest.dataset.images.items())
    spec = manifest.preprocessing
    lines = [
        f"# {manifest.name} {manifest.version}",
        "",
        f"An image classifier: {len(manifest.labels)} labels, {kind}. Exported {manifest.created_at} by Onsight.",
        "",
        "## How good it is",
        "",
        *_metrics_table(manifest.metrics),
        "",
        "Intervals are 95 % bootstrap intervals. Test figures are of images that neither training nor the choice of the"
        " model has seen; validation figures flatter, since the model was chosen on them.",
        "",
        "## What it was trained on",
        "",
        f"{counts} images; snapshot `{manifest.dataset.snapshot_sha256[:16]}`. Backbone: {manifest.backbone.name}"
        f" (`{manifest.backbone.sha256[:16]}`), {'fine-tuned' if manifest.backbone.fine_tuned else 'frozen'}.",
        "",
        "| label | training images | threshold |",
        "|---|---:|---:|",
        *(
            f"| {_cell(label)} | {manifest.dataset.label_counts.get(label, 0):,} | {threshold:.3f} |"
            for label, threshold in zip(manifest.labels, manifest.thresholds, strict=True)
        ),
        "",
        "## What it takes and gives",
        "",
        f"Image bytes, resized to {spec.width}x{spec.height} ({spec.resize}); probabilities after a temperature of"
        f" {manifest.calibration.temperature:.3f}.",
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
    lines += [
        "",
        "## Limits",
        "",
        "It knows only the labels above and answers with one of them whatever it is shown, but for images that it calls"
        " unknown. `golden.npz` holds a few of the images it was trained or tested on, to prove itself where it runs.",
        "",
    ]
    return "\n".join(lines)


def _metrics_table(metrics: dict[str, dict[str, MetricEstimate]]) -> list[str]:
    splits = list(metrics)
    names = list(dict.fromkeys(name for split in splits for name in metrics[split]))
    lines = ["| | " + " | ".join(splits) + " |", "|---|" + "---:|" * len(splits)]
    for name in names:
        cells = [_estimate(metrics[split].get(name)) for split in splits]
        lines.append(f"| {name.replace('_', ' ')} | " + " | ".join(cells) + " |")
    return lines


def _estimate(estimate: MetricEstimate | None) -> str:
    if estimate is None:
        return ""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
