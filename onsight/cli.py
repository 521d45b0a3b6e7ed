"""The command line: `onsight COMMAND`. Folders in, folders out; exit 0 done, 1 failed, 2 wrong usage.

Commands are imported when they are called, so that a server needs no torch and `--help` is quick.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from bundle.errors import OnsightError

COMMANDS = {
    "train": "Train a classifier from a folder of labelled images.",
    "report": "Print a run's statistics and write its report page.",
    "export": "Turn a run into a signed .onsight bundle that has proven itself.",
    "serve": "Serve a folder of bundles over HTTP.",
    "predict": "Label a folder of images with a bundle or a server.",
    "demo": "Train, export, serve and predict on handwritten digits.",
    "trust": "Whose bundles this machine accepts.",
    "token": "Who may ask the server.",
}


class LazyGroup(click.Group):
    """Names and one-line helps are known here; a command's module is imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"onsight.commands.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OnsightError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(1)
        except ModuleNotFoundError as error:
            click.echo(f"error: {_missing_extra(error)}", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo("\nstopped", err=True)
            ctx.exit(1)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="onsight")
def main() -> None:
    """Train, prove and serve image classifiers on your own machines, with no cloud connection ever."""


def _missing_extra(error: ModuleNotFoundError) -> str:
    extras = {
        "torch": "train", "transformers": "train", "sklearn": "train", "safetensors": "train", "onnx": "train",
        "flask": "server", "gunicorn": "server", "onnxruntime": "server",
    }  # fmt: skip
    name = (error.name or "").split(".")[0]
    if name not in extras:
        return f"the Python package {name or error} is missing. Install Onsight again."
    return f"this command needs {name}, which is not installed. Install it with: pip install 'onsight[{extras[name]}]'"


if __name__ == "__main__":
    sys.exit(main())
