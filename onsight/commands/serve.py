"""onsight serve: a folder of bundles -> a REST endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command(short_help="Serve a folder of bundles over HTTP.")
@click.argument("models_dir", metavar="MODELS", type=click.Path(path_type=Path, file_okay=False), required=False)
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="[default: 8000]")
@click.option("--workers", type=int, help="Server processes.  [default: one a core]")
@click.option("--threads", type=int, help="Request threads of each worker.  [default: 2]")
@click.option("--providers", help="cpu, cuda or tensorrt, in order of preference.  [default: cpu]")
@click.option("--log-format", type=click.Choice(["text", "json"]))
@click.option(
    "--anonymous-loopback/--no-anonymous-loopback", "allow_anonymous_loopback", default=None,
    help="Let programs on this machine predict without a token.",
)  # fmt: skip
def command(**choices: Any) -> None:
    """Serve every .onsight bundle in MODELS until SIGTERM or Ctrl-C.

    Every option is an environment variable too: see docs/configuration.md. Make a token with `onsight token create
    NAME`.
    """
    from pydantic import ValidationError

    from server.gunicorn_app import serve
    from server.settings import ServerSettings

    given = {name: value for name, value in choices.items() if value is not None}
    try:
        settings = ServerSettings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        raise click.UsageError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    if not settings.models_dir.is_dir():
        raise click.UsageError(f"{settings.models_dir}: expected a folder of .onsight bundles, found none.")
    serve(settings)
