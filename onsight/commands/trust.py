"""onsight trust: the keys whose bundles this machine accepts."""

from __future__ import annotations

from pathlib import Path

import click

from bundle.home import OnsightHome
from bundle.keys import PublicKey
from bundle.trust import TrustStore


def _store() -> TrustStore:
    return TrustStore(OnsightHome.from_environment().trust_dir)


@click.group(short_help="Whose bundles this machine accepts.")
def command() -> None:
    """Keys whose bundles this machine accepts. A bundle signed with any other key is refused."""


@command.command("list")
def list_keys() -> None:
    """Print key id and name of every trusted key."""
    keys = _store().list()
    for trusted in keys:
        click.echo(f"{trusted.key_id}  {trusted.name}")
    if not keys:
        click.echo("No key is trusted yet. `onsight export` makes this install's own; `onsight trust add` adds others.")


@command.command("add")
@click.argument("public_key", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--name", help="What to call it.  [default: the file's name]")
def add_key(public_key: Path, name: str | None) -> None:
    """Trust PUBLIC_KEY, a PEM file that the bundle's maker wrote with `onsight trust show --out`."""
    key = PublicKey.load(public_key)
    _store().add(key, name or public_key.stem)
    click.echo(f"{key.key_id}  {name or public_key.stem}: trusted")


@command.command("remove")
@click.argument("key_id")
def remove_key(key_id: str) -> None:
    """Trust KEY_ID no longer. Bundles that are loaded already stay until the server restarts."""
    _store().remove(key_id)
    click.echo(f"{key_id}: removed")


@command.command("show")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the public key to this PEM file.")
def show_key(out: Path | None) -> None:
    """Print this install's own key id; with --out, write its public key for other machines to trust."""
    from onsight.signing import own_key

    public = own_key(OnsightHome.from_environment()).public_key
    if out is not None:
        public.save(out)
    click.echo(public.key_id if out is None else f"{public.key_id}  written to {out}")
