"""The command line: `onsight COMMAND`. Folders in, folders out; exit 0 done, 1 failed, 2 wrong usage.

Results go to stdout, all else to stderr. Commands are imported when they are called, so that a server needs no torch
and `--help` is quick.
"""

from __future__ import annotations

import errno
import importlib
import io
import sys
from typing import Any

import click

from bundle.errors import OnsightError

COMMANDS = {
    "train": "Train a classifier from a folder of labelled images.",
    "backbones": "Pretrained networks to train with: add, list, remove, pack.",
    "report": "Print a run's statistics and write its report page.",
    "export": "Turn a run into a signed .onsight bundle that has proven itself.",
    "import": "Make a bundle of a model that was trained elsewhere.",
    "verify": "Check a bundle as a server would, and say what each check found and means.",
    "studio": "The studio's API, without pages so far: projects, images, labels.",
    "serve": "Serve a folder of bundles over HTTP.",
    "engine": "TensorRT engines: build them before the server starts, list them, clear them.",
    "health": "Whether a server is ready.",
    "predict": "Label a folder of images with a bundle or a server.",
    "token": "Who may ask the server.",
    "trust": "Whose bundles this machine accepts.",
    "license": "Who may do what with which model: ask for licences, issue them, hold them.",
    "sbom": "Print a bill of materials of this install: packages, licences, who needs whom.",
    "pack-offline": "Pack what a host without a network needs to install Onsight.",
    "demo": "All of it in a minute or two, on handwritten digits.",
}
MODULES = {"import": "import_model"}  # where a command's name is a word of Python
EXTRAS = {
    "torch": "train", "transformers": "train", "sklearn": "train", "scipy": "train", "safetensors": "train",
    "onnx": "train", "onnxscript": "train", "jinja2": "train",
    "flask": "server", "gunicorn": "server", "onnxruntime": "server",
    "sqlalchemy": "studio", "alembic": "studio", "argon2": "studio", "fsspec": "studio", "psycopg": "postgres",
}  # fmt: skip


class LazyGroup(click.Group):
    """Names and one-line helps are known here; a command's module is imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"onsight.commands.{MODULES.get(cmd_name, cmd_name.replace('-', '_'))}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        if isinstance(sys.stdout, io.TextIOWrapper):  # a label that the terminal cannot show must not end a training
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(ctx)
        except OnsightError as error:
            raise click.ClickException(str(error)) from error
        except ModuleNotFoundError as error:
            raise click.ClickException(_missing_package(error)) from error
        except OSError as error:
            if error.errno in (None, errno.EPIPE):  # click ends quietly where nobody reads on
                raise
            place = "" if error.filename is None else f"{error.filename}: "
            raise click.ClickException(
                f"{place}expected to read or write here, found: {error.strerror}. Check the path, its permissions and"
                " the free space."
            ) from error
        except KeyboardInterrupt:
            click.echo("\nStopped.", err=True)
            ctx.exit(1)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="onsight")
def main() -> None:
    """Train, prove and serve image classifiers on your own machines, with no cloud connection ever.

    \b
    onsight train photos/ --out runs/first      a folder for each label, in minutes
    onsight export runs/first --out first.onsight
    onsight serve models/                       a folder of bundles

    Keys, tokens and caches lie in ~/.onsight, or where ONSIGHT_HOME says.
    """


def _missing_package(error: ModuleNotFoundError) -> str:
    name = (error.name or "").split(".")[0]
    if name not in EXTRAS:
        return f"the Python package {name or error} is missing. Install Onsight again."
    return (
        f"this command needs {name}, which is not installed. Install Onsight's extra {EXTRAS[name]!r}:"
        f" pip install 'onsight[{EXTRAS[name]}]'"
    )


if __name__ == "__main__":
    sys.exit(main())
