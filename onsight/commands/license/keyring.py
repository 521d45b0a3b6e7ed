"""onsight license keyring: an issuer's keys, and how they come and go."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from licenses.keyring import Use
from onsight.commands.license.files import OUT, write_result

ROOTS = click.option(
    "--root", "roots", multiple=True, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="A root key that is not in the issuer's folder; repeat for the other.",
)  # fmt: skip


@click.group()
def keyring() -> None:
    """The keys that speak for this issuer: for licences, for bundles, for revocation lists.

    Two root keys sign the ring. Keep them in two safes: nothing but `rotate` and `add-bundle-key` asks for them.
    """


@keyring.command()
@click.option("--name", help="What customers read as the issuer's name.  [default: its id]")
def init(name: str | None) -> None:
    """Become an issuer: make its keys, and a licence for this install without limits.

    `onsight license issue` does so too, the first time. What is there already is never overwritten.
    """
    from bundle.home import OnsightHome
    from onsight.issuing import make_issuer

    home = OnsightHome.from_environment()
    issuer = make_issuer(home, name, datetime.now(UTC))
    click.echo(issuer.ring.issuer)


@keyring.command()
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the signed ring, for customers, with the revocation list.",
)
def show(as_json: bool, out: Path | None) -> None:
    """Print the issuer's id, the ring's number, and every key: use, id, window."""
    from bundle.home import OnsightHome
    from licenses.claims import text_of
    from licenses.issuer import Issuer
    from licenses.register import ROOT_NAMES

    issuer = Issuer.load(OnsightHome.from_environment().issuer_dir)
    ring = issuer.ring
    at_hand = [name for name in ROOT_NAMES if (issuer.folder.path / name).exists()]
    if as_json:
        document = {**ring.document.model_dump(mode="json"), "root_files": at_hand}
        for key, entry in zip(document["keys"], ring.document.keys, strict=True):
            key["key_id"] = entry.key_id
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        click.echo(f"issuer   {ring.issuer}  {ring.name}\nring     {ring.seq}, of {text_of(ring.iat)}")
        for root in ring.roots:
            click.echo(f"root     {root.key_id}")
        for entry in ring.document.keys:
            state = f"revoked, {len(entry.allowed)} licences of it go on" if entry.revoked else ""
            window = f"{text_of(entry.not_before)} to {text_of(entry.not_after)}"
            click.echo(f"{entry.use:8} {entry.key_id}  {window}  {state}".rstrip())
        if at_hand:
            click.echo(
                f"Root keys lie in {issuer.folder.path}: {', '.join(at_hand)}. Move each to a safe of its own.",
                err=True,
            )
    if out is not None:
        write_result(issuer.response(None, datetime.now(UTC)), out)


@keyring.command()
@click.argument("use", type=click.Choice(["licence", "crl", "bundle"]))
@click.option("--compromised", is_flag=True, help="The old key may be in other hands: it counts no longer.")
@click.option(
    "--overlap-days", type=click.IntRange(0, 3650), default=90, show_default=True,
    help="How long the old key counts beside the new one.",
)  # fmt: skip
@click.option(
    "--bundle-key", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="With bundle: the new public key, from `onsight trust show --out FILE`.",
)  # fmt: skip
@ROOTS
@OUT
def rotate(
    use: Use, compromised: bool, overlap_days: int, bundle_key: Path | None, roots: tuple[Path, ...], out: Path | None
) -> None:
    """Make a new key for USE and sign a new ring, which every licence file carries from now on.

    With --compromised, what the register says the old key signed goes on, and nothing else of it does. Give the ring to
    customers: onsight license install FILE.
    """
    from bundle.home import OnsightHome
    from bundle.keys import PublicKey
    from licenses.issuer import Issuer
    from onsight.issuing import keep

    if (use == "bundle") != (bundle_key is not None):
        raise click.UsageError("--bundle-key: expected with bundle, and with it alone.")
    home = OnsightHome.from_environment()
    issuer = Issuer.load(home.issuer_dir)
    public = None if bundle_key is None else PublicKey.load(bundle_key)
    now = datetime.now(UTC)
    ring = issuer.rotate(use, now, compromised, overlap_days, bundle_key=public, roots=roots)
    data = issuer.response(None, now)
    keep(home, data)
    write_result(data, out)
    click.echo(f"key ring {ring.seq}: {use} key {ring.document.keys[-1].key_id} is new", err=True)


@keyring.command("add-bundle-key")
@click.argument("public_key", type=click.Path(path_type=Path, dir_okay=False))
@ROOTS
@OUT
def add_bundle_key(public_key: Path, roots: tuple[Path, ...], out: Path | None) -> None:
    """Put PUBLIC_KEY, of a host that exports bundles for this issuer, into the ring, beside those that are there."""
    from bundle.home import OnsightHome
    from bundle.keys import PublicKey
    from licenses.issuer import Issuer
    from onsight.issuing import keep

    home = OnsightHome.from_environment()
    issuer = Issuer.load(home.issuer_dir)
    now = datetime.now(UTC)
    ring = issuer.add_bundle_key(PublicKey.load(public_key), now, roots)
    data = issuer.response(None, now)
    keep(home, data)
    write_result(data, out)
    click.echo(f"key ring {ring.seq}: bundle key {ring.document.keys[-1].key_id} is new", err=True)
