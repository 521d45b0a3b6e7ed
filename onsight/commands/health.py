"""onsight health: does a server want requests? For the health checks of containers, and for scripts."""

from __future__ import annotations

import click

from onsight.usage import usage_error

TIMEOUT_S = 5.0


@click.command()
@click.argument("url", required=False)
def command(url: str | None) -> None:
    """Ask the server at URL whether it is ready: exit 0 when it is, 1 when it is not or does not answer.

    \b
    onsight health
    onsight health https://inference.example:8443

    Without URL it is the server of this machine, found by the environment variables that `onsight serve` goes by. Its
    certificate is not checked: nothing secret is sent, and `localhost` is seldom one of its names.
    """
    from onsight.client import AddressError, Client

    url = url or _own_url()
    try:
        client = Client(url, verify=False, timeout_s=TIMEOUT_S)
    except AddressError as error:
        raise click.UsageError(str(error)) from error
    with client:
        found = client.health()
    remark = ""
    if found.failed_bundles:
        remark = f"; {_counted(found.failed_bundles, 'bundle')} failed: the server's log says why"
    if not found.ready:
        raise click.ClickException(f"{url}: expected it to be ready, found it {found.status}{remark}.")
    click.echo(f"ready: {_counted(len(found.models), 'model')}{remark}")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _own_url() -> str:
    from pydantic import ValidationError

    from server.settings import ServerSettings

    try:
        return ServerSettings().url
    except ValidationError as error:
        raise usage_error(error, {name: f"ONSIGHT_{name.upper()}" for name in ServerSettings.model_fields}) from error
