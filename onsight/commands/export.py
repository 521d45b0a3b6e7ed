"""onsight export: a run -> a signed bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from onsight.new_bundle import as_document, demanded_license, license_options, out_option, tell

if TYPE_CHECKING:
    from trainer.run_folder import ModelChoice


def _variants(_context: click.Context, _option: click.Parameter, text: str) -> tuple[str, ...]:
    """Before torch is imported, which takes seconds."""
    from exporter.errors import ExportError
    from exporter.variants.names import check_variants

    try:
        return check_variants([part.strip() for part in text.split(",")])
    except ExportError as error:
        raise click.UsageError(str(error)) from error


def _thresholds(_context: click.Context, _option: click.Parameter, path: Path | None) -> dict[str, float] | None:
    if path is None:
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(label): float(value) for label, value in found.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise click.UsageError(
            f'--thresholds: expected JSON such as {{"label": 0.7}} in {path}, found {error}'
        ) from error


@click.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
@out_option
@click.option(
    "--model", "choice", type=click.Choice(["best", "last"]), default="best", show_default=True,
    help="The one with the lowest validation cross-entropy, or the last.",
)  # fmt: skip
@click.option("--name", help="The model's name in URLs.  [default: the file's]")
@click.option("--model-version", default="1", show_default=True, help="A server serves the highest of a name.")
@click.option("--images", type=click.Path(path_type=Path), metavar="FOLDER", help="The run's images, if they moved.")
@click.option(
    "--backbone", type=click.Path(path_type=Path), metavar="NAME|FOLDER",
    help="Its backbone, if it moved: one of `onsight backbones list`, or a folder.",
)  # fmt: skip
@click.option(
    "--variants", default="fp32", show_default=True, metavar="LIST", callback=_variants,
    help="fp32, which is always there, and fp16 (GPUs), int8 (CPUs), int8-tensorrt; or cpu, gpu, all. Each smaller or"
    " faster form is kept if it keeps the limits on held-out images.",
)  # fmt: skip
@click.option(
    "--max-loss", type=click.FloatRange(0, 1), default=0.01, show_default=True, metavar="FRACTION",
    help="Of accuracy (or mean average precision) that a variant may lose.",
)  # fmt: skip
@click.option(
    "--min-agreement", type=click.FloatRange(0, 1), default=0.97, show_default=True, metavar="FRACTION",
    help="Share of answers that a variant must leave as they are.",
)  # fmt: skip
@click.option(
    "--thresholds", type=click.Path(path_type=Path, dir_okay=False, exists=True), metavar="FILE", callback=_thresholds,
    help='JSON, {"label": 0.7}: from where on a label counts. Labels that it does not name keep the run\'s.',
)  # fmt: skip
@click.option("--require-variants", is_flag=True, help="Fail where a variant does not keep them; write nothing.")
@click.option(
    "--for", "recipients", multiple=True, metavar="REQUEST|KEY",
    help="Encrypt it for the install that wrote this licence request, or has this key; repeat for several. Nobody else"
    " can open it, not even this install.",
)  # fmt: skip
@license_options
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def command(
    run_folder: Path,
    out: Path,
    choice: ModelChoice,
    name: str | None,
    model_version: str,
    images: Path | None,
    backbone: Path | None,
    variants: tuple[str, ...],
    max_loss: float,
    min_agreement: float,
    thresholds: dict[str, float] | None,
    require_variants: bool,
    recipients: tuple[str, ...],
    license_required: bool,
    issuer: str | None,
    as_json: bool,
) -> None:
    """Export RUN as a bundle, one file: the model as ONNX, its facts, and answers to prove itself by where it runs.

    \b
    onsight export runs/trash --out trash.onsight

    Nothing is written unless the exported model answers real images as the trained one does. The bundle is signed with
    this install's key, which is made on first use and trusted here from then on. For other machines: `onsight trust
    show --out maker.pem` here, `onsight trust add maker.pem` there.
    """
    from bundle.home import OnsightHome
    from licenses.recipient import read_recipient

    home = OnsightHome.from_environment()
    sealed_for = [read_recipient(each) for each in recipients]
    demand = demanded_license(home, out, name, license_required, issuer)

    from bundle.manifest import GateLimits
    from exporter.export import export_run
    from onsight.signing import own_key
    from onsight.terminal import TerminalReporter
    from trainer.backbone_store import BackboneStore
    from trainer.run import Run

    if backbone is not None:
        backbone = BackboneStore(home.backbones_dir).resolve(backbone)
    key = own_key(home)
    with TerminalReporter() as reporter:
        exported = export_run(
            Run(run_folder), out, key, choice=choice, name=name, version=model_version, images=images,
            backbone=backbone, variants=variants,
            limits=GateLimits(max_loss=max_loss, min_agreement=min_agreement), require_variants=require_variants,
            thresholds=thresholds, license=demand, recipients=sealed_for, step=reporter.step,
        )  # fmt: skip
    for each in exported.left_out:
        click.echo(f"warning: {each.name} is left out: {each.reason}.", err=True)
    manifest = exported.manifest
    sizes = {entry.name: entry.size for entry in manifest.files}
    if as_json:
        document = as_document(
            out,
            manifest,
            key,
            sealed_for=[each.install or each.key_id for each in sealed_for],
            variants={each.name: each.certificate and each.certificate.model_dump() for each in manifest.variants},
            sizes={each.name: sizes[each.file] for each in manifest.variants},
            left_out={each.name: each.reason for each in exported.left_out},
        )
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    certified = [
        f"{variant.name}, {sizes[variant.file] / 1e6:.1f} MB: {measured.metric.replace('_', ' ')}"
        f" {measured.value:.3f} on {measured.images:,} {measured.split} images, {measured.full:.3f} in full precision;"
        f" {measured.agreement:.1%} of the answers agree"
        for variant in manifest.variants
        if (measured := variant.certificate) is not None
    ]
    installs = [each.install or f"the install with key {each.key_id}" for each in sealed_for]
    tell(out, manifest, key, certified, installs)
