"""onsight sbom: what this install consists of."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import click


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write it there.  [default: stdout]"
)
@click.option("--files", "with_files", is_flag=True, help="List every installed file too, with its SHA-256.")
@click.option(
    "--timestamp", metavar="TIME",
    help="The time that it states, like 2026-01-02T03:04:05Z.  [default: SOURCE_DATE_EPOCH, or now]",
)  # fmt: skip
def command(out: Path | None, with_files: bool, timestamp: str | None) -> None:
    """Print a bill of materials of this install: packages, licences, who needs whom.

    \b
    onsight sbom --out onsight.cdx.json

    The format is CycloneDX 1.6. Equal installs give equal documents where the time is given. Libraries of the operating
    system are not in it: in a container, its image's own tools list them.
    """
    from bundle.files import write_atomically
    from onsight.bill import bundled_in_pages, make_bill

    document = make_bill(_time(timestamp), with_files, bundled=bundled_in_pages())
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    if out is None:
        click.echo(text, nl=False)
    else:
        write_atomically(out, text.encode())
        click.echo(f"{out}: {len(document['components'])} components", err=True)


def _time(given: str | None) -> datetime:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        if given is not None:
            time = datetime.fromisoformat(given)
            return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
        return datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    except (ValueError, OverflowError, OSError) as error:
        option, found = ("SOURCE_DATE_EPOCH", epoch) if given is None else ("--timestamp", given)
        raise click.UsageError(f"{option}: expected a time, found {found!r}.") from error
