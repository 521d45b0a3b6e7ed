"""onsight report: a run -> its statistics on the terminal, and report.html."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path

import click


@click.command(short_help="Print a run's statistics and write its report page.")
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--model", "choice", type=click.Choice(["best", "last"]), default="best", show_default=True)
@click.option("--open", "open_page", is_flag=True, help="Open the page in the browser.")
@click.option("--json", "as_json", is_flag=True, help="Print statistics.json.")
def command(run_folder: Path, choice: str, open_page: bool, as_json: bool) -> None:
    """Print the statistics of RUN and write RUN/report.html anew, a single file that can be sent around."""
    from onsight.summary import summarise
    from trainer.evaluate import write_report
    from trainer.run import Run
    from trainer.statistics import models_from_json

    run = Run(run_folder)
    text = run.require_text(run.statistics_path)
    write_report(run)
    if as_json:
        click.echo(json.dumps(json.loads(text), indent=2))
    else:
        click.echo(summarise(models_from_json(text)[choice]))
    click.echo(f"Report: {run.report_path}", err=True)
    if open_page:
        webbrowser.open(run.report_path.resolve().as_uri())
