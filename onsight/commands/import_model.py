"""onsight import: an ONNX classifier or a local transformers folder -> a signed bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from onsight.new_bundle import as_document, demanded_license, license_options, out_option, tell

if TYPE_CHECKING:
    from exporter.importing.onnx_source import OutputForm


@click.command("import")
@click.argument("source", type=click.Path(path_type=Path))
@out_option
@click.option(
    "--labels", type=click.Path(path_type=Path), metavar="FILE",
    help="One a line, in the order of the outputs; or JSON, or CSV.  [default: config.json's id2label]",
)  # fmt: skip
@click.option(
    "--preprocessing", metavar="PRESET|FILE.json",
    help="imagenet, imagenet-squash, inception, clip, raw-0-255, unit, bgr-caffe, or a file of such fields.",
)  # fmt: skip
@click.option("--name", help="The model's name in URLs.  [default: the file's]")
@click.option("--model-version", default="1", show_default=True, help="A server serves the highest of a name.")
@click.option(
    "--task", type=click.Choice(["single_label", "multi_label"]),
    help="One label an image, or any number.  [default: as the model says, else single_label]",
)  # fmt: skip
@click.option(
    "--output", type=click.Choice(["logits", "probabilities"]), help="What an ONNX file gives.  [default: found out]"
)
@click.option("--output-name", metavar="NAME", help="Of the scores, where an ONNX file has several outputs.")
@click.option(
    "--images", type=click.Path(path_type=Path), metavar="FOLDER",
    help="Real images to prove it with.  [default: those of --test, else generated ones]",
)  # fmt: skip
@click.option("--test", type=click.Path(path_type=Path), metavar="FOLDER", help="Class folders, to measure it on.")
@license_options
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def command(
    source: Path,
    out: Path,
    labels: Path | None,
    preprocessing: str | None,
    name: str | None,
    model_version: str,
    task: str | None,
    output: OutputForm | None,
    output_name: str | None,
    images: Path | None,
    test: Path | None,
    license_required: bool,
    issuer: str | None,
    as_json: bool,
) -> None:
    """Make a bundle of a model that was trained elsewhere.

    SOURCE is an ONNX classifier, or a local transformers folder.

    \b
    onsight import resnet.onnx --labels names.txt --preprocessing imagenet --out resnet.onsight
    onsight import mobilenet_v2/ --images photos/ --out models/pretrained/General.onsight

    Nothing is written unless the bundle's graph answers as the original does. In `models/pretrained` it answers
    `/api/pm-predict/NAME`. See docs/import.md.
    """
    from bundle.home import OnsightHome

    home = OnsightHome.from_environment()
    demand = demanded_license(home, out, name, license_required, issuer)

    from bundle.manifest import Task
    from exporter.importing.make import import_model
    from exporter.importing.preprocessing import read_preprocessing
    from onsight.signing import own_key
    from onsight.terminal import TerminalReporter

    prepared = None if preprocessing is None else read_preprocessing(preprocessing)
    key = own_key(home)
    with TerminalReporter() as reporter:
        made = import_model(
            source, out, key, labels=labels, preprocessing=prepared, task=None if task is None else Task(task),
            output=output, output_name=output_name, name=name, version=model_version, images=images, test=test,
            license=demand, step=reporter.step,
        )  # fmt: skip
    for note in made.notes:
        click.echo(f"note: {note}", err=True)
    manifest = made.manifest
    assert manifest.imported is not None
    if as_json:
        metrics = {
            split: {metric: each.model_dump() for metric, each in found.items()}
            for split, found in manifest.metrics.items()
        }
        document = as_document(
            out, manifest, key, task=manifest.task.value, imported=manifest.imported.model_dump(), metrics=metrics
        )
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    details = [
        f"{manifest.task.value.replace('_', '-')}; its output is {manifest.imported.output} ({made.output_found})"
    ]
    for split, found in manifest.metrics.items():
        metric = "accuracy" if "accuracy" in found else "mean_average_precision"
        if (estimate := found.get(metric)) is not None:
            interval = "" if estimate.low is None else f" ({estimate.low:.3f} to {estimate.high:.3f})"
            count = manifest.dataset.images[split]
            details.append(f"{metric.replace('_', ' ')} {estimate.value:.3f}{interval} on {count:,} {split} images")
    tell(out, manifest, key, details)
