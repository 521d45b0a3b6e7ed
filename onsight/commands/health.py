"""onsight health: does a server want requests? For the health checks of containers, and for scripts."""

from __future__ import annotations

import http.client
import json
import ssl
from urllib.parse import urlsplit

import click

from onsight.usage import usage_error

TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 1024 * 1024


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
    url = url or _own_url()
    host, port, tls = _parts(url)
    try:
        status, document = _ask(host, port, tls)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise click.ClickException(
            f"{url}: expected an Onsight server, found {error}. Is it running, and is this its port?"
        ) from error
    if status != 200:
        raise click.ClickException(f"{url}: expected it to be ready, found {document.get('status', status)}.")
    models = document.get("models")
    count = len(models) if isinstance(models, list) else 0
    click.echo(f"ready: {count} model{'' if count == 1 else 's'}")


def _parts(url: str) -> tuple[str, int | None, bool]:
    address = urlsplit(url)
    try:
        port = address.port
    except ValueError:
        port = -1
    if address.scheme not in ("http", "https") or not address.hostname or port == -1:
        raise click.UsageError(f"URL: expected http://HOST:PORT or https://HOST:PORT, found {url!r}.")
    return address.hostname, port, address.scheme == "https"


def _ask(host: str, port: int | None, tls: bool) -> tuple[int, dict[str, object]]:
    connection: http.client.HTTPConnection
    if tls:
        unchecked = ssl.create_default_context()
        unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=unchecked)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/health/ready")
        answer = connection.getresponse()
        document = json.loads(answer.read(MAX_ANSWER_BYTES))
    finally:
        connection.close()
    if not isinstance(document, dict):
        raise ValueError("an answer of another kind")
    return answer.status, document


def _own_url() -> str:
    from pydantic import ValidationError

    from server.settings import ServerSettings

    try:
        return ServerSettings().url
    except ValidationError as error:
        raise usage_error(error, {name: f"ONSIGHT_{name.upper()}" for name in ServerSettings.model_fields}) from error
