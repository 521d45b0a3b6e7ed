"""What the commands that write a bundle share: --out, the licence that it demands, and what they say of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from bundle.home import OnsightHome
    from bundle.keys import SigningKey
    from bundle.manifest import LicenseDemand, Manifest


def _checked(_context: click.Context, _option: click.Parameter, out: Path) -> Path:
    if out.suffix != ".onsight":
        raise click.UsageError(f"--out: expected a name that ends in .onsight, found {out.name}")
    return out


out_option = click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, callback=_checked,
    metavar="NAME.onsight", help="The bundle.",
)  # fmt: skip


def license_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add --license-required and --issuer; `demanded_license` says what they mean."""
    for option in (
        click.option("--issuer", metavar="ID", help="With --license-required: whose, if not this install's own."),
        click.option(
            "--license-required", is_flag=True, help="Serves only where a licence of the issuer is installed."
        ),
    ):
        command = option(command)
    return command


def demanded_license(
    home: OnsightHome, out: Path, name: str | None, license_required: bool, issuer: str | None
) -> LicenseDemand | None:
    """What the bundle shall demand. Raises click.UsageError, and LicenseError as `license_demand` does."""
    if issuer is not None and not license_required:
        raise click.UsageError("--issuer: expected --license-required with it.")
    if not license_required:
        return None
    from exporter.writing import default_name
    from onsight.issuing import license_demand

    return license_demand(home, name or default_name(out), datetime.now(UTC), issuer)


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
    installs = list(sealed_for)
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
    for install in installs:
        click.echo(f"encrypted for {install}")
    file = quote(str(out))
    if manifest.license is not None:
        click.echo(f"demands a licence of {manifest.license.issuer}")
    if installs:
        click.echo(
            f"Next:   send {file} to where it can be opened; there: put it into a folder and onsight serve FOLDER",
            err=True,
        )
        return
    click.echo(f"Next:   onsight predict {file} IMAGES, or put it into a folder and onsight serve FOLDER", err=True)
