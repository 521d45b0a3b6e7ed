"""onsight report: a run -> its statistics on the terminal, and report.html."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path

import click


@click.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--model", "choice", type=click.Choice(["best", "last"]), default="best", show_default=True,
    help="The one with the lowest validation cross-entropy, or the last.",
)  # fmt: skip
@click.option("--open", "open_page", is_flag=True, help="Open the page in the browser.")
@click.option("--json", "as_json", is_flag=True, help="Print statistics.json: everything, of both models.")
def command(run_folder: Path, choice: str, open_page: bool, as_json: bool) -> None:
    """Print the headline figures of RUN and write RUN/report.html anew.

    The page is a single file that can be sent around: every figure, curves, the confusion matrix, the worst mistakes.
    """
    from onsight.summary import summarise
    from trainer.evaluate import write_report
    from trainer.run import Run
    from trainer.statistics import models_from_json

    run = Run(run_folder)
    text = run.require_text(run.statistics_path)
    try:
        statistics = models_from_json(text)[choice]
    except (ValueError, KeyError) as error:
        raise click.ClickException(
            f"{run.statistics_path}: expected statistics, found a damaged file. Train again."
        ) from error
    write_report(run)
    click.echo(json.dumps(json.loads(text), indent=2, ensure_ascii=False) if as_json else summarise(statistics))
    click.echo(f"Report: {run.report_path}", err=True)
    if open_page:
        webbrowser.open(run.report_path.resolve().as_uri())
