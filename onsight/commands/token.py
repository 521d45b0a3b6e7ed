"""onsight token: who may ask the server."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click

from bundle.home import OnsightHome
from server.tokens import Scope, TokenStore


def _store() -> TokenStore:
    return TokenStore(OnsightHome.from_environment().tokens_path)


@click.group()
def command() -> None:
    """Access tokens. Only their digests are kept; a running server knows of a change at once."""


@command.command("create")
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice([scope.value for scope in Scope]), default=["predict"],
    show_default=True, help="May be given several times.",
)  # fmt: skip
def create_token(name: str, scopes: tuple[str, ...]) -> None:
    """Make a token called NAME and print it: this once, since it cannot be recovered."""
    token = _store().create(name, [Scope(scope) for scope in scopes], datetime.now(UTC))
    click.echo(token)
    use = "Send it as the header 'X-Auth-token', or set ONSIGHT_TOKEN to it for `onsight predict --server`."
    click.echo(f"{use} It may: {', '.join(scopes)}.", err=True)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def list_tokens(as_json: bool) -> None:
    """Print name, scopes, age and last characters of every token."""
    records = _store().list()
    if as_json:
        click.echo(
            json.dumps(
                [
                    {
                        "name": record.name,
                        "scopes": list(record.scopes),
                        "created_at": f"{record.created_at:%Y-%m-%dT%H:%M:%SZ}",
                        "last_characters": record.last_characters,
                    }
                    for record in records
                ]
            )
        )
    else:
        for record in records:
            scopes = ", ".join(record.scopes)
            click.echo(f"{record.name}  {scopes}  since {record.created_at:%Y-%m-%d}  ...{record.last_characters}")
    if not records:
        click.echo("No token yet. Make one with `onsight token create NAME`.", err=True)


@command.command("revoke")
@click.argument("name")
def revoke_token(name: str) -> None:
    """Forget the token called NAME; it stops working at once."""
    _store().revoke(name)
    click.echo(f"{name}: revoked", err=True)
