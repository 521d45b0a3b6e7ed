"""onsight serve: a folder of bundles -> a REST endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from onsight.usage import usage_error

OPTION_NAMES = {"models_dir": "MODELS", "allow_anonymous_loopback": "--anonymous-loopback"}


@click.command()
@click.argument("models_dir", metavar="[MODELS]", type=click.Path(path_type=Path), required=False)
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="[default: 8000]")
@click.option("--workers", type=int, metavar="N", help="Server processes.  [default: one a core]")
@click.option(
    "--threads", type=int, metavar="N", help="Predictions that each worker computes at once.  [default: 1; GPU: 8]"
)
@click.option("--providers", help="cpu, cuda or tensorrt, in order of preference.  [default: cpu]")
@click.option("--log-format", type=click.Choice(["text", "json"]), help="Of the log, on stderr.  [default: text]")
@click.option(
    "--anonymous-loopback/--no-anonymous-loopback", "allow_anonymous_loopback", default=None,
    help="Let programs on this machine predict without a token.",
)  # fmt: skip
def command(**choices: Any) -> None:
    """Serve every .onsight bundle in MODELS (default: the folder `models`) until SIGTERM or Ctrl-C.

    \b
    onsight token create my-app
    onsight serve models/ --port 8000
    curl -H 'X-Auth-token: ...' --data-binary @x.jpg localhost:8000/api/predict/default/trash

    A page to drop images on is at http://localhost:8000. Beyond this machine (--host 0.0.0.0) it is reachable only once
    there is a token. A bundle that is put into MODELS later is served within seconds. Every option is an environment
    variable too, and there are more: docs/configuration.md.
    """
    from pydantic import ValidationError

    from server.hosting.gunicorn_app import serve
    from server.settings import ServerSettings

    given = {name: value for name, value in choices.items() if value is not None}
    try:
        settings = ServerSettings(**given)
    except ValidationError as error:
        from_environment = {
            name: f"ONSIGHT_{name.upper()}" for name in ServerSettings.model_fields if name not in given
        }
        raise usage_error(error, OPTION_NAMES | from_environment) from error
    folder = settings.models_dir
    if not folder.is_dir():
        found = "a file: put it into a folder" if folder.exists() else "nothing there"
        raise click.ClickException(f"{folder}: expected a folder of .onsight bundles, found {found}.")
    serve(settings)
