"""What a person sees while they wait: lines and progress bars on stderr; results go to stdout."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Self

import click
from tqdm import tqdm


class TerminalReporter:
    """Draws one bar a stage, with rate and remaining time; silent bars where stderr is no terminal."""

    def __init__(self) -> None:
        self._stage = ""
        self._hinted = False
        self._bar: tqdm[Any] | None = None

    def say(self, text: str) -> None:
        self.close()
        click.echo(text, err=True)

    def progress(self, stage: str, done: int, total: int) -> None:
        if self._bar is None or stage != self._stage:
            self.close()
            self._stage = stage
            self._hint()
            self._bar = tqdm(total=total, desc=stage, unit="", disable=None, dynamic_ncols=True, leave=False)
        self._bar.total = total
        self._bar.update(done - self._bar.n)
        if done >= total:
            self.close()

    def step(self, text: str, done: int, total: int) -> None:
        """One bar for a few steps of different kinds, done and total in shares of their time; its text says which."""
        if self._bar is None:
            self._bar = tqdm(
                total=total, bar_format="{bar:10} {percentage:3.0f}% [{elapsed}<{remaining}] {desc}", smoothing=0,
                disable=None, dynamic_ncols=True, leave=False,
            )  # fmt: skip
        self._bar.set_description_str(text, refresh=False)
        self._bar.update(done - self._bar.n)
        self._bar.refresh()
        if done >= total:
            self.close()

    def _hint(self) -> None:
        """Once, when training begins and someone is watching."""
        if self._stage.startswith("training") and not self._hinted and sys.stderr.isatty():
            self._hinted = True
            click.echo("(Ctrl-C ends training early and keeps the best model so far)", err=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
