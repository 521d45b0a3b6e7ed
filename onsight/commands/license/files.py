"""The files that commands of `onsight license` read and write."""

from __future__ import annotations

from pathlib import Path

import click

from bundle.files import write_atomically
from licenses.envelope import MAX_FILE_BYTES


def _with_folder(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Ask before something is signed and numbered that could then not be written."""
    if value is not None and not value.absolute().parent.is_dir():
        raise click.BadParameter(f"expected a file in a folder that is there, found {value}. Make the folder first.")
    return value


OUT = click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", callback=_with_folder,
    help="The file.  [default: stdout]",
)  # fmt: skip
OUT_REQUIRED = click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", callback=_with_folder, required=True,
    help="The file.",
)  # fmt: skip


def read_file(path: Path) -> bytes:
    """At most as much as tells that it is too much. Raises OSError, which the command line words."""
    with path.open("rb") as file:
        return file.read(MAX_FILE_BYTES + 1)


def write_result(data: bytes, out: Path | None) -> None:
    """Signed text to `out`, or to stdout."""
    if out is None:
        click.echo(data.decode(), nl=False)
    else:
        write_atomically(out, data)
