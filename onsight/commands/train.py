"""onsight train: a folder of labelled images -> a run."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from shlex import quote
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from onsight.usage import SectionedCommand, option_in, usage_error

if TYPE_CHECKING:
    from trainer.run import Run
    from trainer.statistics import Statistics
    from trainer.train import Outcome


# Options that have another name than the recipe's field.
OPTION_NAMES = {
    "labels_file": "--labels", "validation_fraction": "--validation", "test_fraction": "--test",
    "input_height": "--size", "input_width": "--size",
}  # fmt: skip

run, data, network, training = (option_in(section) for section in ("Run", "Data", "Network", "Training"))


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@click.command(cls=SectionedCommand)
@click.argument("images", type=click.Path(path_type=Path), required=False)
@run("--out", "run_folder", type=click.Path(path_type=Path), required=True, metavar="FOLDER", help="The run's folder.")
@run("--resume", is_flag=True, help="Go on with the unfinished run in --out; no other option is needed.")
@run("--overwrite", is_flag=True, help="Start over where --out holds a run.")
@run("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@data(
    "--labels", "labels_file", type=click.Path(path_type=Path), metavar="FILE",
    help="CSV (file name, then labels) or JSON; without it the class folders are the labels.",
)  # fmt: skip
@data("--single-label", "task", flag_value="single_label", help="Exactly one label an image.")
@data(
    "--multi-label", "task", flag_value="multi_label",
    help="Any number of labels an image.  [default: what the labels look like]",
)  # fmt: skip
@data("--default-label", metavar="LABEL", help="Single-label: the label of images that have none.")
@data("--validation", "validation_fraction", type=float, metavar="SHARE", help="Of the images.  [default: 0.2]")
@data("--validation-list", type=click.Path(path_type=Path), metavar="FILE", help="Instead: their names, one a line.")
@data(
    "--test",
    "test_fraction",
    type=float,
    metavar="SHARE",
    help="Of the images, for the final figures alone.  [default: 0]",
)
@data("--test-list", type=click.Path(path_type=Path), metavar="FILE", help="Instead: their names, one a line.")
@network(
    "--backbone", type=click.Path(path_type=Path), metavar="NAME|FOLDER",
    help="To transfer from: one of `onsight backbones list`, or a local transformers folder (config.json and"
    " *.safetensors).  [default: onsight-small, which comes with Onsight]",
)  # fmt: skip
@network("--from-scratch", is_flag=True, default=None, help="Instead: a small network from random weights.")
@network("--fine-tune", is_flag=True, default=None, help="Train the backbone too, after the head.")
@network("--random-weights", is_flag=True, default=None, help="Use the backbone's architecture, not its weights.")
@network("--size", type=int, metavar="PIXELS", help="Edge of the input.  [default: the backbone's]")
@network("--hidden-units", type=int, metavar="N", help="Of the head; 0 is a linear head.  [default: 512]")
@network(
    "--warm-start", type=click.Path(path_type=Path), metavar="RUN",
    help="Begin from the best weights of another run of the same form; labels are matched by name.",
)  # fmt: skip
@training("--minutes", type=float, help="Time budget; it ends earlier once nothing improves.  [default: 10]")
@training("--epochs", type=int, metavar="N", help="At most so many a stage.")
@training("--patience", type=int, metavar="N", help="Stop after so many epochs without improvement.")
@training("--batch-size", type=int, metavar="N", help="[default: by the number of images]")
@training("--learning-rate", type=float, help="Peak of the schedule.  [default: by the stage]")
@training("--class-weighting", is_flag=True, default=None, help="Weight rare labels up.")
@training(
    "--augmentation", type=click.Choice(["none", "light", "flip"]),
    help="Random changes of training images, where the backbone is trained: light shifts, zooms, turns and brightens;"
    " flip mirrors too.  [default: light]",
)  # fmt: skip
@training(
    "--thresholds-from", type=click.Choice(["validation", "train"]),
    help="Multi-label: where thresholds are chosen.  [default: validation]",
)  # fmt: skip
@training("--seed", type=int, metavar="N", help="The same seed gives the same model.  [default: 0]")
@training("--threads", type=int, metavar="N", help="Of the CPU.  [default: one a core]")
def command(
    images: Path | None,
    run_folder: Path,
    size: int | None,
    resume: bool,
    overwrite: bool,
    as_json: bool,
    **choices: Any,
) -> None:
    """Train on IMAGES: a folder with a folder for each label, or any folder of images with --labels.

    \b
    onsight train photos/ --out runs/trash --minutes 5
    onsight train scans/ --labels scans.csv --out runs/scans --backbone models/mobilenet

    The run's folder gets the best and the last model, the statistics and report.html, a page about them.

    Ctrl-C ends training early and keeps the best model so far. A run that was cut off goes on with --resume. A second
    training on the same images with the same backbone starts at once: features are kept in the cache of ONSIGHT_HOME.
    """
    from pydantic import ValidationError

    from bundle.home import OnsightHome
    from onsight.summary import summarise
    from onsight.terminal import TerminalReporter
    from trainer.backbone import DEFAULT_NAME
    from trainer.backbone_store import BackboneStore
    from trainer.progress import duration
    from trainer.recipe import Recipe
    from trainer.run import Run
    from trainer.statistics import models_from_json
    from trainer.train import train

    if resume:
        if images or size or overwrite or any(value is not None for value in choices.values()):
            raise click.UsageError("--resume goes on with the run's own recipe: give it --out alone.")
        recipe = Run(run_folder).recipe()
    else:
        if images is None:
            raise click.UsageError("IMAGES: expected a folder of images to train on, found none.")
        if choices.pop("from_scratch"):
            if choices["backbone"] or choices["fine_tune"] or choices["random_weights"]:
                raise click.UsageError(
                    "--from-scratch trains a small network of its own: leave out --backbone, --fine-tune and"
                    " --random-weights."
                )
        else:
            store = BackboneStore(OnsightHome.from_environment().backbones_dir)
            given = choices["backbone"]
            choices["backbone"] = store.find(DEFAULT_NAME) if given is None else store.resolve(given)
        fields = {name: _text(value) for name, value in choices.items() if value is not None}
        if size is not None:
            fields |= {"input_height": size, "input_width": size}
        try:
            recipe = Recipe.model_validate({"images": str(images), **fields})
        except ValidationError as error:
            raise usage_error(error, OPTION_NAMES) from error
        _check_place(Run(run_folder))
    signal.signal(signal.SIGTERM, _interrupt)
    cache_dir = OnsightHome.from_environment().cache_dir
    try:
        with TerminalReporter() as reporter:
            outcome = train(recipe, run_folder, cache_dir, reporter, resume=resume, overwrite=overwrite)
    except KeyboardInterrupt:
        kept = Run(run_folder).exists
        click.echo(f"\nStopped. {'What was computed is kept.' if kept else 'Nothing was written.'}", err=True)
        if kept:
            click.echo(f"Go on:  onsight train --resume --out {quote(str(run_folder))}", err=True)
        raise SystemExit(1) from None
    statistics = models_from_json(outcome.run.statistics_path.read_text())["best"]
    if as_json:
        click.echo(json.dumps(_as_dict(outcome, statistics), ensure_ascii=False))
        return
    click.echo(summarise(statistics))
    ending = "Ended early, with the best model so far," if outcome.interrupted else "Done"
    click.echo(f"\n{ending} after {duration(outcome.seconds)}.", err=True)
    click.echo(f"Report: {outcome.run.report_path}", err=True)
    bundle = f"{run_folder.resolve().name}.onsight"
    click.echo(f"Next:   onsight export {quote(str(run_folder))} --out {quote(bundle)}", err=True)
    if outcome.interrupted:
        click.echo(f"Or:     onsight train --resume --out {quote(str(run_folder))}", err=True)


def _as_dict(outcome: Outcome, statistics: Statistics) -> dict[str, Any]:
    snapshot = outcome.run.snapshot()
    return {
        "run": str(outcome.run.folder),
        "report": str(outcome.run.report_path),
        "interrupted": outcome.interrupted,
        "seconds": round(outcome.seconds, 1),
        "best_epoch": outcome.best_epoch,
        "task": statistics.task.value,
        "labels": list(statistics.labels),
        "images": {name: split.images for name, split in statistics.splits.items()},
        "skipped": len(snapshot.skipped),
        "warnings": [{"code": warning.code, "message": warning.message} for warning in snapshot.warnings],
        "metrics": {
            name: {metric: estimate.value for metric, estimate in split.metrics.items()}
            for name, split in statistics.splits.items()
        },
    }


def _check_place(run: Run) -> None:
    """Refuse to scatter a run's files among others: a slip such as `--out .` would."""
    folder = run.folder
    if folder.is_dir() and not run.exists and any(folder.iterdir()):
        raise click.ClickException(
            f"{folder}: expected a new or empty folder for the run, found other files. Choose another --out."
        )
    if folder.exists() and not folder.is_dir():
        raise click.ClickException(f"{folder}: expected a folder for the run, found a file. Choose another --out.")


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
