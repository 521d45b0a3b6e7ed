"""onsight pack-offline: everything that a host without a network needs to install Onsight, in one folder."""

from __future__ import annotations

import json
from pathlib import Path

import click

import onsight
from onsight.terminal import TerminalReporter
from onsight.wheelhouse import make_wheelhouse, pack_tar


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--extras", default="server", show_default=True, metavar="NAMES",
    help="What to bring: server or gpu; train,export for training; studio for the web application.",
)  # fmt: skip
@click.option("--tar", "as_tar", is_flag=True, help="Write DIR.tar too, to be copied as one file.")
@click.option(
    "--source", type=click.Path(path_type=Path), metavar="TREE",
    help="Onsight's source tree.  [default: the one that this command runs from]",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON.")
def command(folder: Path, extras: str, as_tar: bool, source: Path | None, as_json: bool) -> None:
    """Make a wheelhouse in DIR for hosts with this Python on this kind of machine, and prove that it installs.

    \b
    onsight pack-offline onsight-offline --tar
    onsight pack-offline onsight-gpu --extras gpu
    sudo scripts/install_linux.sh --offline . --service       on the host, in the copied folder

    This uses the network: it asks the package index that pip is set to. When it is interrupted, the same command
    goes on.
    """
    names = tuple(name.strip() for name in extras.split(",") if name.strip())
    folder = folder.absolute()
    source = (source or Path(onsight.__file__).parents[1]).absolute()
    with TerminalReporter() as reporter:
        made = make_wheelhouse(source, folder, names, reporter.progress)
        tar = pack_tar(folder, reporter.progress) if as_tar else None
    if as_json:
        click.echo(
            json.dumps(
                {
                    "folder": str(made.folder),
                    "tar": None if tar is None else str(tar),
                    "version": made.version,
                    "extras": made.extras.split(","),
                    "python": made.python,
                    "machine": made.machine,
                    "glibc": made.glibc,
                    "wheels": made.wheels,
                    "size_bytes": made.size_bytes,
                    "fingerprint": made.fingerprint,
                }
            )
        )
        return
    click.echo(made.folder if tar is None else tar)
    click.echo(
        f"Onsight {made.version} [{made.extras}], {made.wheels} wheels, {made.size_bytes / 1e6:.0f} MB, for Python"
        f" {made.python} on {made.machine}{f' with glibc {made.glibc} or newer' if made.glibc else ''}.\n"
        f"Fingerprint: {made.fingerprint}\n"
        "On the host, in the folder: sudo scripts/install_linux.sh --offline . --service",
        err=True,
    )
