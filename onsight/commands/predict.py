"""onsight predict: a bundle (or a server) and a folder of images -> labels."""

from __future__ import annotations

import sys
from collections import deque
from pathlib import Path

import click


@click.command()
@click.argument("arguments", metavar="[MODEL] IMAGES", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="CSV, or JSON by its ending.  [default: stdout]",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="JSON instead of CSV.")
@click.option(
    "--group-by-label", "group_folder", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
    help="Copy each image to FOLDER/LABEL/; images without one to _unknown, _no_label or _unreadable.",
)  # fmt: skip
@click.option("--server", metavar="URL", help="Ask this server; MODEL is then NAME or PROJECT/NAME.")
@click.option("--token", envvar="ONSIGHT_TOKEN", help="For --server.  [env: ONSIGHT_TOKEN]")
@click.option(
    "--ca", type=click.Path(path_type=Path, exists=True), metavar="FILE",
    help="For --server https://...: the certificate (PEM) to trust in place of the system's.",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(1, 256), metavar="N",
    help="Images at a time.  [default: one a core; 8 with --server]",
)  # fmt: skip
def command(
    arguments: tuple[Path, ...],
    out: Path | None,
    as_json: bool,
    group_folder: Path | None,
    server: str | None,
    token: str | None,
    ca: Path | None,
    workers: int | None,
) -> None:
    """Label IMAGES (a file, or a folder with all below it) with MODEL, a .onsight bundle.

    \b
    onsight predict trash.onsight photos/ --out results.csv
    onsight predict trash.onsight photos/ --group-by-label sorted/
    onsight predict trash photos/ --server http://localhost:8000

    With --server MODEL may be left out where the server has only one. An image that cannot be read is a row with an
    error; the exit code is 1 if none could be read.
    """
    from tqdm import tqdm

    from bundle.cores import usable_cores
    from bundle.home import OnsightHome
    from onsight.labelling import bundle_labeller, find_images, label_images
    from onsight.results import copy_by_label, open_results, write_csv, write_json
    from onsight.tally import Tally

    if len(arguments) > 2 or (len(arguments) == 1 and server is None):
        raise click.UsageError(f"expected MODEL and IMAGES, found {len(arguments)} argument(s).")
    model, images = arguments[0] if len(arguments) == 2 else None, arguments[-1]
    if not images.exists():
        raise click.ClickException(f"{images}: expected an image or a folder of images, found nothing there.")
    files = find_images(images)
    if not files:
        raise click.ClickException(f"{images}: expected images (jpg, png, webp, bmp, tiff, gif), found none.")
    if group_folder is not None and group_folder.is_dir() and any(group_folder.iterdir()):
        raise click.ClickException(
            f"{group_folder}: expected a new or empty folder, since what it holds would mix with the answers, found"
            " files in it. Choose another --group-by-label."
        )
    root = images.parent if images.is_file() else images
    if server is not None:
        from onsight.client import Client
        from onsight.client.batch import CONCURRENCY
        from onsight.remote import ask_about_images, labels_of_server

        name = None if model is None else str(model)
        client = click.get_current_context().with_resource(
            Client(server, token, model=name, verify=True if ca is None else ca)
        )
        labels = labels_of_server(client, has_token=bool(token))
        answers = ask_about_images(client, root, files, workers or CONCURRENCY)
        tally = Tally(len(files), give_up=client.close)
    else:
        assert model is not None
        if not model.exists():
            raise click.ClickException(f"{model}: expected a .onsight bundle, found nothing there.")
        if model.is_dir() and not (model / "manifest.json").is_file():
            raise click.ClickException(f"{model}: expected a .onsight bundle, found a folder. Name the file in it.")
        label, labels = bundle_labeller(model, OnsightHome.from_environment(), ("CPUExecutionProvider",))
        answers = label_images(root, files, label, workers or usable_cores())
        tally = Tally(len(files))
    if group_folder is not None:
        answers = copy_by_label(answers, root, group_folder, labels)
    to_stdout = out is None and (group_folder is None or as_json)
    quiet = (
        True if to_stdout and sys.stdout.isatty() else None
    )  # a bar among the rows; None: where stderr is no terminal
    bar = tqdm(answers, total=len(files), unit=" images", desc="labelling", disable=quiet, leave=False)
    counted = tally.watch(bar)
    write = write_json if as_json or (out is not None and out.suffix.lower() == ".json") else write_csv
    with tally.ended_by_interrupt():
        if out is not None or to_stdout:
            with open_results(out) as file:
                write(counted, labels, file)
        else:
            deque(counted, maxlen=0)
    bar.close()
    click.echo(tally.summary(), err=True)
    for place in (out, group_folder):
        if place is not None:
            click.echo(f"Written: {place}", err=True)
    if tally.error is not None:
        raise tally.error
    if tally.interrupted or tally.failed == tally.images:
        raise SystemExit(1)
