"""onsight train: a folder of labelled images -> a run."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from types import FrameType
from typing import Any

import click


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@click.command(short_help="Train a classifier from a folder of labelled images.")
@click.argument("images", type=click.Path(path_type=Path), required=False)
@click.option("--out", "run_folder", type=click.Path(path_type=Path), required=True, help="The run's folder.")
@click.option(
    "--labels", "labels_file", type=click.Path(path_type=Path),
    help="CSV (file name, then labels) or JSON; without it the class folders are the labels.",
)  # fmt: skip
@click.option("--multi-label", "task", flag_value="multi_label", help="Any number of labels an image.")
@click.option("--single-label", "task", flag_value="single_label", help="Exactly one label an image.")
@click.option("--default-label", help="Single-label: the label of images that have none.")
@click.option("--minutes", type=float, help="Time budget of the training loop.  [default: 10]")
@click.option(
    "--backbone", type=click.Path(path_type=Path, file_okay=False),
    help="Local transformers folder (config.json and *.safetensors) to start from.",
)  # fmt: skip
@click.option("--fine-tune", is_flag=True, default=None, help="Train the backbone too, after the head.")
@click.option("--random-weights", is_flag=True, default=None, help="Use the backbone's architecture, not its weights.")
@click.option("--size", type=int, help="Edge of the input, pixels.  [default: the backbone's]")
@click.option("--learning-rate", type=float, help="Peak of the schedule.")
@click.option("--hidden-units", type=int, help="Of the head; 0 is a linear head.  [default: 512]")
@click.option("--epochs", type=int, help="Upper limit of epochs a stage.")
@click.option("--patience", type=int, help="Stop after so many epochs without improvement.")
@click.option("--batch-size", type=int)
@click.option("--class-weighting", is_flag=True, default=None, help="Weight rare labels up.")
@click.option("--augmentation", type=click.Choice(["none", "light", "flip"]), help="Of images in training.")
@click.option("--validation", "validation_fraction", type=float, help="Share of images, 0 to 1.  [default: 0.2]")
@click.option("--validation-list", type=click.Path(path_type=Path), help="File that names the validation images.")
@click.option("--test", "test_fraction", type=float, help="Share of images, 0 to 1.  [default: 0]")
@click.option("--test-list", type=click.Path(path_type=Path), help="File that names the test images.")
@click.option("--thresholds-from", type=click.Choice(["validation", "train"]), help="Where thresholds are chosen.")
@click.option("--seed", type=int)
@click.option("--threads", type=int, help="CPU threads.  [default: one a core]")
@click.option("--resume", is_flag=True, help="Go on with an unfinished run in --out.")
@click.option("--overwrite", is_flag=True, help="Start over where --out holds a run.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def command(
    images: Path | None,
    run_folder: Path,
    size: int | None,
    resume: bool,
    overwrite: bool,
    as_json: bool,
    **choices: Any,
) -> None:
    """Train on IMAGES, a folder of class folders, or a folder of images with --labels.

    Statistics and report.html are written beside the model. Ctrl-C ends training early and keeps the best model so
    far; a run that was cut off goes on with --resume. A second training on the same images starts at once: their
    features are kept in the cache of ONSIGHT_HOME.
    """
    from pydantic import ValidationError

    from bundle.home import OnsightHome
    from onsight.summary import summarise
    from onsight.terminal import TerminalReporter
    from trainer.progress import duration
    from trainer.recipe import Recipe
    from trainer.run import Run
    from trainer.statistics import models_from_json
    from trainer.train import train

    if resume:
        given = [name for name, value in choices.items() if value is not None]
        if given or images:
            raise click.UsageError("--resume goes on with the run's own recipe: give it --out alone.")
        recipe = Run(run_folder).recipe()
    else:
        if images is None:
            raise click.UsageError("Missing argument IMAGES: the folder of images to train on.")
        fields = {name: _text(value) for name, value in choices.items() if value is not None}
        if size is not None:
            fields |= {"input_height": size, "input_width": size}
        try:
            recipe = Recipe.model_validate({"images": str(images), **fields})
        except ValidationError as error:
            first = error.errors()[0]
            raise click.UsageError(f"--{str(first['loc'][0]).replace('_', '-')}: {first['msg']}") from error
    signal.signal(signal.SIGTERM, _interrupt)
    with TerminalReporter(quiet=as_json) as reporter:
        cache_dir = OnsightHome.from_environment().cache_dir
        outcome = train(recipe, run_folder, cache_dir, reporter, resume=resume, overwrite=overwrite)
    statistics = models_from_json(outcome.run.statistics_path.read_text())["best"]
    if as_json:
        metrics = {
            split: {name: estimate.value for name, estimate in result.metrics.items()}
            for split, result in statistics.splits.items()
        }
        click.echo(
            json.dumps(
                {
                    "run": str(run_folder),
                    "interrupted": outcome.interrupted,
                    "seconds": round(outcome.seconds, 1),
                    "best_epoch": outcome.best_epoch,
                    "metrics": metrics,
                    "report": str(outcome.run.report_path),
                }
            )
        )
        return
    click.echo(summarise(statistics))
    click.echo(f"\n{'Interrupted' if outcome.interrupted else 'Done'} after {duration(outcome.seconds)}.", err=True)
    click.echo(f"Report: {outcome.run.report_path}", err=True)
    click.echo(f"Next:   onsight export {run_folder} --out {run_folder.name}.onsight", err=True)


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
