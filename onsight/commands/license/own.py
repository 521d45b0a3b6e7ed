"""onsight license identity, request: who this install is, for those who issue licences and make bundles for it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from onsight.commands.license.files import OUT, write_result


@click.command()
@click.option("--json", "as_json", is_flag=True, help="JSON.")
def identity(as_json: bool) -> None:
    """Print this install's id and the key that bundles are encrypted to; both are made on first use."""
    from bundle.home import OnsightHome
    from licenses.identity import InstallIdentity

    own = InstallIdentity.load_or_create(OnsightHome.from_environment().licenses_dir)
    key = own.recipient_public.hex()
    if as_json:
        click.echo(json.dumps({"install_id": own.install_id, "recipient_key": key}))
        return
    click.echo(f"install  {own.install_id}\nkey      {key}")


@click.command()
@OUT
@click.option("--name", default="onsight", show_default=True, help="What the issuer or maker shall call this install.")
def request(out: Path | None, name: str) -> None:
    """Write a request file: this install's public keys and salted hashes of the machine, signed by it.

    It holds nothing secret. The issuer makes a licence of it (onsight license issue --for FILE); whoever makes bundles
    encrypts them with it (onsight export --for FILE).
    """
    from datetime import UTC, datetime

    from pydantic import ValidationError

    from bundle.home import OnsightHome
    from licenses.host import host_factors
    from licenses.identity import InstallIdentity
    from licenses.request import make_request

    own = InstallIdentity.load_or_create(OnsightHome.from_environment().licenses_dir)
    try:
        text = make_request(own, name, host_factors(), datetime.now(UTC))
    except ValidationError as error:
        raise click.UsageError(f"--name: {error.errors()[0]['msg']}, found {name!r}.") from error
    write_result(text.encode(), out)
    if out is None:
        return
    click.echo(f"{out}: request of install {own.install_id}", err=True)
    click.echo(
        "Next:   give it to the issuer, who runs: onsight license issue --for FILE; or to the maker of a bundle that"
        " this install alone shall open, who runs: onsight export RUN --out NAME.onsight --for FILE",
        err=True,
    )
