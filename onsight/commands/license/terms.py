"""What the options of `onsight license issue` say, as terms of a licence."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from licenses.claims import Binding, Claims, RequestDocument, Terms

TRIAL_DAYS = 30
LIMITS = ("servers", "gpus", "loaded_models", "concurrency")


def moment(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    """2027-05-01, which stands for the end of that day in UTC, or 2027-05-01T12:00:00Z."""
    from licenses.claims import time_of

    try:
        return None if value is None else time_of(value if "T" in value else f"{value}T23:59:59Z")
    except ValueError as error:
        raise click.BadParameter(
            f"expected a day such as 2027-05-01, or 2027-05-01T12:00:00Z, found {value!r}."
        ) from error


def limits(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, int | None]:
    """servers=2, or servers=any."""
    found: dict[str, int | None] = {}
    for value in values:
        name, equals, number = value.partition("=")
        if name not in LIMITS or not equals or not (number == "any" or re.fullmatch(r"\d{1,9}", number)):
            raise click.BadParameter(f"expected one of {', '.join(LIMITS)}, = and a number or `any`, found {value!r}.")
        found[name] = None if number == "any" else int(number)
    return found


def new_terms(
    overrides: dict[str, Any], days: int | None, until: datetime | None, trial: bool,
    mode: Literal["site", "host", "none"] | None, min_match: int | None, asking: list[RequestDocument], now: datetime,
) -> Terms:  # fmt: skip
    from licenses.binding import binding_of

    fields: dict[str, Any] = {"models": ("*",), "actions": ("serve",), "exp": until}
    if trial:
        fields |= {"grace_days": 0, "on_expiry": "stop", "edition": "trial"}
    if trial or days is not None:
        fields["exp"] = now + timedelta(days=days or TRIAL_DAYS)
    return _terms({**fields, **overrides, "binding": binding_of(mode or "site", asking, min_match)})


def renewed_terms(
    old: Claims, overrides: dict[str, Any], days: int | None, until: datetime | None, asking: list[RequestDocument],
    now: datetime,
) -> Terms:  # fmt: skip
    fields = {name: getattr(old, name) for name in type(old).model_fields}
    if until is not None:
        fields["exp"] = until
    if days is not None:
        fields["exp"] = max(now, old.exp or now) + timedelta(days=days)
    if "limits" in overrides:
        overrides = {**overrides, "limits": {**old.limits.model_dump(), **overrides["limits"]}}
    if asking:
        fields["binding"] = _with_installs(old.binding, asking)
    return _terms({**fields, **overrides})


def _with_installs(binding: Binding, asking: list[RequestDocument]) -> Binding:
    from licenses.binding import binding_of

    if binding.mode != "site":
        raise click.UsageError(
            f"--for: expected a licence of the binding site, which can get more installs, found {binding.mode}. Issue a"
            " new one, or move this one with --release."
        )
    added = binding_of("site", asking).installs
    return binding.model_copy(update={"installs": tuple(dict.fromkeys([*binding.installs, *added]))})


def _terms(fields: dict[str, Any]) -> Terms:
    from pydantic import ValidationError

    from bundle.reasons import first_complaint
    from licenses.claims import Terms

    try:
        return Terms.model_validate({name: value for name, value in fields.items() if name in Terms.model_fields})
    except ValidationError as error:
        raise click.UsageError(f"licence: {first_complaint(error)}. Choose another value.") from error
