"""onsight backbones: the pretrained networks of this install, and how they come and go."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bundle.errors import OnsightError
from bundle.home import OnsightHome

if TYPE_CHECKING:
    from trainer.backbone_store import BackboneStore, StoredBackbone


def _store() -> BackboneStore:
    from trainer.backbone_store import BackboneStore

    return BackboneStore(OnsightHome.from_environment().backbones_dir)


@click.group()
def command() -> None:
    """Pretrained networks to transfer from: `onsight train --backbone NAME` takes any of them."""


@command.command("add")
@click.argument("source", metavar="FOLDER|PACK|HUB_ID")
@click.option("--name", help="What to call it here.  [default: the folder's name]")
@click.option("--hub", "from_hub", is_flag=True, help="SOURCE is a HUB_ID, even if there is a folder of that name.")
@click.option("--revision", help="With a HUB_ID: its commit, tag or branch.  [default: the newest of its main branch]")
@click.option("--json", "as_json", is_flag=True, help="Print what was added as JSON.")
def add(source: str, name: str | None, from_hub: bool, revision: str | None, as_json: bool) -> None:
    """Add a local transformers folder, a pack, or a model of the Hugging Face Hub.

    \b
    onsight backbones add models/mobilenet-v2               config.json and *.safetensors
    onsight backbones add backbones.tar                     what `onsight backbones pack` wrote
    onsight backbones add facebook/dinov2-small             over the network, at once and only now

    What lies on this machine wins: the network is used where nothing here has that name. The network is built and run
    once before it is added.
    """
    from onsight.terminal import TerminalReporter
    from trainer.backbone_pack import add_pack

    path, store = Path(source), _store()
    local = path.exists() and not from_hub
    if revision is not None and local:
        raise click.UsageError(f"--revision: expected a HUB_ID with it, found {source}, which lies on this machine.")
    with TerminalReporter() as reporter:
        if not local:
            added = [_fetch(store, source, name, revision, from_hub)]
        elif path.is_dir():
            added = [store.add_folder(path, name, reporter.progress)]
        else:
            added = add_pack(store, path, name, reporter.progress)
    if as_json:
        click.echo(json.dumps([_as_dict(each) for each in added], ensure_ascii=False))
        return
    for each in added:
        click.echo(_line(each))
    click.echo(f"Next:   onsight train IMAGES --out RUN --backbone {added[0].name}", err=True)


def _fetch(store: BackboneStore, hub_id: str, name: str | None, revision: str | None, from_hub: bool) -> StoredBackbone:
    """A slip in a path must not become a question to a stranger: what begins as a path of this machine is one."""
    from trainer.backbone_hub import HUB_ID, add_from_hub

    if HUB_ID.fullmatch(hub_id) is None or (Path(hub_id).parent.exists() and not from_hub):
        raise click.ClickException(
            f"{hub_id}: expected a local folder, a pack, or owner/name of the Hugging Face Hub, found nothing of that"
            " name here. Check the path; --hub says that it is a HUB_ID."
        )
    click.echo(f"nothing here is called {hub_id}: fetching it from the Hugging Face Hub", err=True)
    return add_from_hub(store, hub_id, name, revision)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def list_backbones(as_json: bool) -> None:
    """Print name, family, input size, parameters, size, licence and SHA-256 of each."""
    store, found = _store(), []
    for name in store.names():
        try:
            found.append(store.describe(name))
        except OnsightError as error:
            click.echo(f"warning: {error}", err=True)
    if as_json:
        click.echo(json.dumps([_as_dict(each) for each in found], ensure_ascii=False))
        return
    for each in found:
        click.echo(_line(each))
    if all(each.built_in for each in found):
        click.echo("Add another: onsight backbones add FOLDER", err=True)


@command.command("remove")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def remove(names: tuple[str, ...]) -> None:
    """Delete backbones. A run that was trained with one cannot be exported until it is back."""
    store = _store()
    for name in names:
        store.find(name)  # all of them, before the first is gone
    for name in dict.fromkeys(names):
        store.remove(name)
        click.echo(f"{name}: removed", err=True)


@command.command("pack")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE.tar", help="Pack.")
def pack(names: tuple[str, ...], out: Path) -> None:
    """Write backbones into one file, for a host without a network: `onsight backbones add FILE.tar` there."""
    from onsight.terminal import TerminalReporter
    from trainer.backbone_pack import write_pack

    with TerminalReporter() as reporter:
        write_pack(_store(), names, out, reporter.progress)
    click.echo(out)
    click.echo(f"{out.stat().st_size / 1e6:.1f} MB. On the other host: onsight backbones add {out.name}", err=True)


def _line(backbone: StoredBackbone) -> str:
    return (
        f"{backbone.name}  {backbone.family}  {backbone.width}x{backbone.height}"
        f"  {backbone.parameters / 1e6:.1f} M parameters  {backbone.size_bytes / 1e6:.1f} MB"
        f"  licence: {backbone.licence or 'not named'}  {backbone.sha256[:12]}{'  built in' * backbone.built_in}"
    )


def _as_dict(backbone: StoredBackbone) -> dict[str, object]:
    return {**dataclasses.asdict(backbone), "folder": str(backbone.folder)}
