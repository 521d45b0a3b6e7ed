"""onsight predict: a bundle (or a server) and a folder of images -> labels."""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from onsight.labelling import Answer


@click.command(short_help="Label a folder of images with a bundle or a server.")
@click.argument("arguments", metavar="[MODEL] IMAGES", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="CSV file (or JSON, by its ending or --json).")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of CSV.")
@click.option("--group-by-label", type=click.Path(path_type=Path, file_okay=False), help="Copy images to DIR/LABEL/.")
@click.option("--server", help="Ask the server at this URL; MODEL is then NAME or PROJECT/NAME.")
@click.option("--token", envvar="ONSIGHT_TOKEN", help="For --server.  [env: ONSIGHT_TOKEN]")
@click.option("--workers", type=click.IntRange(1, 256), help="Images at a time.  [default: one a core]")
def command(
    arguments: tuple[Path, ...],
    out: Path | None,
    as_json: bool,
    group_by_label: Path | None,
    server: str | None,
    token: str | None,
    workers: int | None,
) -> None:
    """Label IMAGES (a file, or a folder with all below it) with MODEL, a .onsight bundle.

    With --server MODEL may be left out where the server has only one. Without --out the results go to stdout.
    Unreadable images are rows with an error; the exit code is 1 if none could be read.
    """
    from tqdm import tqdm

    from bundle.cores import usable_cores
    from bundle.home import OnsightHome
    from onsight.labelling import bundle_labeller, find_images, label_images
    from onsight.results import copy_by_label, whole_file, write_csv, write_json

    if len(arguments) > 2 or (len(arguments) == 1 and server is None):
        raise click.UsageError(f"expected MODEL and IMAGES, found {len(arguments)} arguments.")
    model, images = arguments[0] if len(arguments) == 2 else None, arguments[-1]
    if not images.exists():
        raise click.UsageError(f"{images}: expected an image or a folder of images, found nothing there.")
    files = find_images(images)
    if not files:
        raise click.UsageError(f"{images}: expected images (jpg, png, webp, bmp, tiff, gif), found none.")
    if server is not None:
        from onsight.remote import server_labeller

        label, labels = server_labeller(server, token, None if model is None else str(model))
    else:
        assert model is not None
        if not model.exists():
            raise click.UsageError(f"{model}: expected a .onsight bundle, found nothing there.")
        label, labels = bundle_labeller(model, OnsightHome.from_environment().trust_dir, ("CPUExecutionProvider",))
    root = images.parent if images.is_file() else images
    answers = label_images(root, files, label, workers or usable_cores())
    if group_by_label is not None:
        answers = copy_by_label(answers, root, group_by_label)
    bar = tqdm(answers, total=len(files), unit="img", desc="predicting", disable=None, leave=False)
    tally = Tally()
    counted = tally.watch(bar)
    write = write_json if as_json or (out is not None and out.suffix == ".json") else write_csv
    if out is not None:
        with whole_file(out) as file:
            write(counted, labels, file)
    elif group_by_label is None:
        write(counted, labels, sys.stdout)
    else:
        deque(counted, maxlen=0)
    click.echo(tally.summary(), err=True)
    if tally.failed == tally.images:
        raise SystemExit(1)


class Tally:
    """Counts answers as they pass, for one line at the end."""

    def __init__(self) -> None:
        self.images = 0
        self.failed = 0
        self.counts: Counter[str] = Counter()

    def watch(self, answers: Iterable[Answer]) -> Iterator[Answer]:
        for answer in answers:
            self.images += 1
            if answer.error is not None:
                self.failed += 1
            elif answer.labels:
                self.counts.update(answer.labels)
            else:
                self.counts["unknown" if answer.unknown else "no label"] += 1
            yield answer

    def summary(self) -> str:
        found = ", ".join(f"{name} {count:,}" for name, count in self.counts.most_common(12))
        line = f"{self.images - self.failed:,} of {self.images:,} images: {found or 'none labelled'}"
        if self.failed:
            line += f"\n{self.failed:,} could not be labelled; the error column says why."
        return line
