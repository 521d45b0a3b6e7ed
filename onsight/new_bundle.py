"""What the commands that write a bundle share: --out, and what they say of the bundle that they have written."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from bundle.keys import SigningKey
    from bundle.manifest import Manifest


def _checked(_context: click.Context, _option: click.Parameter, out: Path) -> Path:
    if out.suffix != ".onsight":
        raise click.UsageError(f"--out: expected a name that ends in .onsight, found {out.name}")
    return out


out_option = click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, callback=_checked,
    metavar="NAME.onsight", help="The bundle.",
)  # fmt: skip


def as_document(out: Path, manifest: Manifest, key: SigningKey, **more: Any) -> dict[str, Any]:
    """For --json. more: what one command says beyond the other."""
    return {
        "bundle": str(out),
        "bytes": out.stat().st_size,
        "name": manifest.name,
        "version": manifest.version,
        "model_id": manifest.model_id,
        "labels": list(manifest.labels),
        "key_id": key.public_key.key_id,
        "parity": manifest.variants[0].parity.model_dump(),
        **more,
    }


def tell(
    out: Path, manifest: Manifest, key: SigningKey, details: Iterable[str] = (), sealed_for: Iterable[str] = ()
) -> None:
    """Print name, proof, details and signature, and to stderr what to do next. sealed_for: installs, in words."""
    parity, imported = manifest.variants[0].parity, manifest.imported
    against, images = ("", "real") if imported is None else ("against the original ", imported.proof_images)
    click.echo(
        f"{out}: {manifest.name} {manifest.version}, {len(manifest.labels)} labels, {out.stat().st_size / 1e6:.1f} MB"
    )
    sizes = ", ".join(map(str, parity.batch_sizes))
    click.echo(
        f"proven {against}on {parity.images} {images} images at batches of {sizes}: largest difference of a probability"
        f" {parity.max_difference:.1e}, {parity.decisions_flipped} decisions flipped"
    )
    for line in details:
        click.echo(line)
    click.echo(f"signed by {key.public_key.key_id}")
    for install in sealed_for:
        click.echo(f"encrypted for {install}")
    click.echo(
        f"Next:   onsight predict {quote(str(out))} IMAGES, or put it into a folder and onsight serve FOLDER", err=True
    )
