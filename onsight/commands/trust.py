"""onsight trust: the keys whose bundles this machine accepts."""

from __future__ import annotations

import json
from pathlib import Path
from shlex import quote

import click

from bundle.home import OnsightHome
from bundle.keys import PublicKey
from bundle.trust import TrustStore


def _store() -> TrustStore:
    return TrustStore(OnsightHome.from_environment().trust_dir)


@click.group()
def command() -> None:
    """Keys whose bundles this machine accepts. A bundle signed with any other key is refused."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def list_keys(as_json: bool) -> None:
    """Print key id and name of every trusted key."""
    store = _store()
    keys = store.list()
    if as_json:
        click.echo(json.dumps([{"key_id": key.key_id, "name": key.name} for key in keys], ensure_ascii=False))
    else:
        for key in keys:
            click.echo(f"{key.key_id}  {key.name}")
    for problem in store.problems():
        click.echo(f"warning: {problem}", err=True)
    if not keys:
        click.echo(
            "No key is trusted yet. `onsight export` makes this install's own; `onsight trust add` adds others.",
            err=True,
        )


@command.command("add")
@click.argument("public_key", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--name", help="What to call it.  [default: the file's name]")
def add_key(public_key: Path, name: str | None) -> None:
    """Trust PUBLIC_KEY, a PEM file that the bundle's maker wrote with `onsight trust show --out`."""
    key = PublicKey.load(public_key)
    _store().add(key, name or public_key.stem)
    click.echo(f"{key.key_id}  {name or public_key.stem}: trusted", err=True)


@command.command("remove")
@click.argument("key_id")
def remove_key(key_id: str) -> None:
    """Trust KEY_ID no longer. A server lets go of what that key signed."""
    _store().remove(key_id)
    click.echo(f"{key_id}: trusted no longer", err=True)


@command.command("show")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write the public key as PEM."
)
def show_key(out: Path | None) -> None:
    """Print the id of this install's own key; with --out, write its public half for other machines to trust."""
    from onsight.signing import own_key

    public = own_key(OnsightHome.from_environment()).public_key
    click.echo(public.key_id)
    if out is not None:
        public.save(out)
        click.echo(f"Written: {out}; on the other machine: onsight trust add {quote(out.name)} --name WHOSE", err=True)
