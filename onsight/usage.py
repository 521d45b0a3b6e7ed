"""How the command line explains itself: options in sections, and a wrong value told of in the option's own name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
from pydantic import ValidationError

Function = TypeVar("Function", bound=Callable[..., Any])
OTHER = "Options"


class SectionedOption(click.Option):
    """An option that is listed under a heading."""

    def __init__(self, *arguments: Any, section: str = OTHER, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.section = section


class SectionedCommand(click.Command):
    """A command whose help lists its options under headings, in the order in which they were declared."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                sections.setdefault(getattr(parameter, "section", OTHER), []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def option_in(section: str) -> Callable[..., Callable[[Function], Function]]:
    """`click.option` for options of one section."""

    def option(*names: str, **settings: Any) -> Callable[[Function], Function]:
        return click.option(*names, cls=SectionedOption, section=section, **settings)

    return option


def usage_error(error: ValidationError, option_names: Mapping[str, str]) -> click.UsageError:
    """The first complaint, such as "--minutes: expected a value greater than 0, found 0.0".

    option_names: option of a field where it is not the field's own name.
    """
    first = error.errors()[0]
    field = str(first["loc"][0]) if first["loc"] else ""
    option = option_names.get(field, f"--{field.replace('_', '-')}")
    complaint = first["msg"].replace("Input should be", "expected a value").removeprefix("Value error, ")
    found = "" if first["type"] == "value_error" else f", found {first['input']!r}"
    return click.UsageError(f"{option}: {complaint}{found}." if field else f"{complaint}.")
