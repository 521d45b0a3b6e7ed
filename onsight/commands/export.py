"""onsight export: a run -> a signed bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from trainer.run import ModelChoice


@click.command(short_help="Turn a run into a signed .onsight bundle that has proven itself.")
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="NAME.onsight")
@click.option("--model", "choice", type=click.Choice(["best", "last"]), default="best", show_default=True)
@click.option("--name", help="The model's name in URLs.  [default: the file's]")
@click.option("--model-version", default="1", show_default=True, help="A server serves the highest of a name.")
@click.option("--images", type=click.Path(path_type=Path), help="Where the run's images lie now, if they moved.")
@click.option("--backbone", type=click.Path(path_type=Path), help="Where the backbone lies now, if it moved.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def command(
    run_folder: Path,
    out: Path,
    choice: ModelChoice,
    name: str | None,
    model_version: str,
    images: Path | None,
    backbone: Path | None,
    as_json: bool,
) -> None:
    """Export RUN as a bundle: ONNX, proven on real images to answer as the trained model, and signed.

    The signing key is made on first use, and this machine trusts it from then on. For other machines: `onsight trust
    show` there, `onsight trust add` here.
    """
    from bundle.home import OnsightHome
    from exporter.export import export_run
    from onsight.signing import own_key
    from onsight.terminal import TerminalReporter
    from trainer.run import Run

    if out.suffix != ".onsight":
        raise click.UsageError(f"--out: expected a name that ends in .onsight, found {out.name}")
    key = own_key(OnsightHome.from_environment())
    with TerminalReporter(quiet=as_json) as reporter:
        exported = export_run(
            Run(run_folder), out, key, choice=choice, name=name, version=model_version, images=images,
            backbone=backbone, step=reporter.progress,
        )  # fmt: skip
    manifest = exported.manifest
    parity = manifest.variants[0].parity
    if as_json:
        click.echo(json.dumps({"bundle": str(out), "name": manifest.name, "version": manifest.version,
                               "model_id": manifest.model_id, "key_id": key.public_key.key_id,
                               "parity_max_difference": parity.max_difference}))  # fmt: skip
        return
    click.echo(
        f"{out}: {manifest.name} {manifest.version}, {len(manifest.labels)} labels, {out.stat().st_size / 1e6:.1f} MB,"
        f" signed by {key.public_key.key_id}"
    )
    click.echo(
        f"parity on {parity.images} images at batches {', '.join(map(str, parity.batch_sizes))}: largest difference"
        f" {parity.max_difference:.1e}, {parity.decisions_flipped} decisions flipped"
    )
    click.echo(f"Next: put it into a folder and `onsight serve FOLDER`, or `onsight predict {out} IMAGES`", err=True)
