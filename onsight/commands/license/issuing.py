"""onsight license issue, list, crl issue: what an issuer hands out, and what it remembers of that."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Literal

import click

from onsight.commands.license.files import OUT, read_file, write_result
from onsight.commands.license.terms import LIMITS, TRIAL_DAYS, limits, moment, new_terms, renewed_terms

if TYPE_CHECKING:
    from licenses.claims import Claims
    from licenses.issuer import Issuer

KEY_WARN_DAYS = 90
MANY_FILES = 250  # of one key: all of them have to stand in the key ring if it is stolen


@click.command()
@click.option(
    "--for", "requests", multiple=True, type=click.Path(path_type=Path), metavar="REQUEST",
    help="The request file of an install that it is for; repeat for several.",
)  # fmt: skip
@click.option("--licensee", metavar="NAME", help="Whom it is for.")
@click.option("--model", "models", multiple=True, metavar="NAME", help="A model's name; repeat.  [default: *, any]")
@click.option(
    "--action", "actions", multiple=True, type=click.Choice(["download", "serve", "export", "train"]),
    help="What it allows; repeat.  [default: serve]",
)  # fmt: skip
@click.option(
    "--days", type=click.IntRange(1, 36500), help="Valid for so many days; with --renew, from the present end on."
)
@click.option(
    "--until", callback=moment, metavar="DATE", help="Valid to the end of that day, UTC.  [default: for ever]"
)
@click.option("--trial", is_flag=True, help=f"{TRIAL_DAYS} days, no grace, and nothing after it.")
@click.option("--grace-days", type=click.IntRange(0, 3650), help="How long all goes on after the end.  [default: 30]")
@click.option(
    "--on-expiry", type=click.Choice(["serve", "stop"]),
    help="After the grace: what is installed still predicts, or stops.  [default: serve]",
)  # fmt: skip
@click.option(
    "--bind", "mode", type=click.Choice(["site", "host", "none"]),
    help="To the installs; to one install on its host; to nothing.  [default: site]",
)  # fmt: skip
@click.option("--min-match", type=int, help="With --bind host: how many kinds of facts must match.  [default: 2]")
@click.option("--edition", metavar="NAME", help="What you call this kind of licence.  [default: standard]")
@click.option("--maintenance-until", callback=moment, metavar="DATE", help="Models made later are not covered.")
@click.option("--limit", "most", multiple=True, callback=limits, metavar="NAME=N", help=f"{', '.join(LIMITS)}; repeat.")
@click.option("--renew", "renewed", metavar="LIC_ID", help="The next file of this licence; what you do not give stays.")
@click.option(
    "--release", type=click.Path(path_type=Path), metavar="FILE",
    help="Move the licence that this file releases to the install of --for.",
)  # fmt: skip
@OUT
@click.option("--json", "as_json", is_flag=True, help="Print what was issued as JSON; needs --out.")
def issue(
    requests: tuple[Path, ...],
    licensee: str | None,
    models: tuple[str, ...],
    actions: tuple[str, ...],
    days: int | None,
    until: datetime | None,
    trial: bool,
    grace_days: int | None,
    on_expiry: str | None,
    mode: Literal["site", "host", "none"] | None,
    min_match: int | None,
    edition: str | None,
    maintenance_until: datetime | None,
    most: dict[str, int | None],
    renewed: str | None,
    release: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Sign a licence: for new, the next file of one, or one that moves.

    \b
    onsight license issue --for request.txt --licensee ACME --days 365 --out acme.lic
    onsight license issue --renew LIC_ID --days 365 --out acme.lic
    onsight license issue --release release.txt --for new-request.txt --out acme.lic

    The first time, this install becomes an issuer: it makes keys, and a licence for itself without limits.
    """
    from bundle.home import OnsightHome
    from licenses.claims import document_facts
    from licenses.issuer import Issuer
    from licenses.request import read_release, read_request
    from onsight.issuing import own_issuer

    _check_usage(len(requests))
    asking = [read_request(read_file(path), path.name) for path in requests]
    home, now = OnsightHome.from_environment(), datetime.now(UTC)
    overrides: dict[str, Any] = {
        "licensee": licensee, "models": models or None, "actions": actions or None, "edition": edition,
        "maintenance_until": maintenance_until, "grace_days": grace_days, "on_expiry": on_expiry,
        "limits": most or None,
    }  # fmt: skip
    overrides = {name: value for name, value in overrides.items() if value is not None}
    if release:
        released = read_release(read_file(release), release.name)
        issuer = Issuer.load(home.issuer_dir)
        made = issuer.transfer(released, asking[0], now)
    elif renewed:
        issuer = Issuer.load(home.issuer_dir)
        old = issuer.entry(renewed).claims
        made = issuer.renew(renewed, now, renewed_terms(old, overrides, days, until, asking, now))
    else:
        terms = new_terms(overrides, days, until, trial, mode, min_match, asking, now)
        issuer = own_issuer(home, now)
        made = issuer.issue(terms, now)
    write_result(issuer.response(made, now), out)
    claims = made.claims
    if as_json:
        click.echo(json.dumps({"file": str(out), **document_facts(claims)}, ensure_ascii=False))
    click.echo(
        f"{claims.lic_id}: file {claims.seq} for {claims.licensee}, {_until(claims)}, {_where(claims)}", err=True
    )
    _warn_of_key(issuer, made.sealed.kid, now)
    if out is not None:
        click.echo(f"Next:   on the install: onsight license install {quote(out.name)}", err=True)


def _warn_of_key(issuer: Issuer, kid: str, now: datetime) -> None:
    from licenses.claims import text_of

    rotate = "Bring the root keys and run: onsight license keyring rotate licence"
    signed = sum(file.kid == kid for entry in issuer.entries for file in entry.files)
    if signed >= MANY_FILES:
        click.echo(f"warning: key {kid} has signed {signed} files. {rotate}, so that its theft costs little.", err=True)
    if (end := issuer.ring.entry(kid, "licence").not_after) - now < timedelta(days=KEY_WARN_DAYS):
        click.echo(f"warning: key {kid} signs until {text_of(end)}. {rotate}.", err=True)


def _check_usage(requests: int) -> None:
    """Options that do not go together, and those that have to be there."""
    context = click.get_current_context()
    given = {
        param.opts[0]
        for param in context.command.params
        if param.name and context.get_parameter_source(param.name) is click.core.ParameterSource.COMMANDLINE
    }
    for one, other in (
        ("--days", "--until"), ("--trial", "--days"), ("--trial", "--until"), ("--trial", "--grace-days"),
        ("--renew", "--release"),
    ):  # fmt: skip
        if {one, other} <= given:
            raise click.UsageError(f"{one} and {other}: expected one of the two, found both.")
    if "--release" in given and (unfit := given - {"--release", "--for", "--out", "--json"}):
        raise click.UsageError(
            f"--release: expected nothing else, since a licence moves as it is, found {', '.join(sorted(unfit))}."
            " Change it with --renew afterwards."
        )
    if "--release" in given and requests != 1:
        raise click.UsageError(f"--release: expected one --for, the install that it moves to, found {requests}.")
    if "--renew" in given and (unfit := given & {"--trial", "--bind", "--min-match"}):
        raise click.UsageError(f"--renew: expected what can change in a licence, found {', '.join(sorted(unfit))}.")
    if not given & {"--renew", "--release", "--licensee"}:
        raise click.UsageError("--licensee: expected the name of whom the licence is for, found none.")
    if "--json" in given and "--out" not in given:
        raise click.UsageError("--json: expected --out with it, since without it stdout gets the licence.")


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def list_issued(as_json: bool) -> None:
    """Print what this issuer has issued: id, file, licensee, models, actions, end, where it holds."""
    from bundle.home import OnsightHome
    from licenses.claims import document_facts
    from licenses.issuer import Issuer

    issuer = Issuer.load(OnsightHome.from_environment().issuer_dir)
    entries = issuer.entries
    if as_json:
        facts = [{**document_facts(each.claims), "revoked": each.revoked} for each in entries]
        click.echo(json.dumps(facts, ensure_ascii=False))
        return
    rows = [
        (
            each.claims.lic_id, f"file {each.claims.seq}", each.claims.licensee, ",".join(each.claims.models),
            ",".join(each.claims.actions),
            _until(each.claims) if each.revoked is None else f"revoked: {each.revoked}", _where(each.claims),
        )
        for each in entries
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    if not rows:
        click.echo("Nothing is issued yet: onsight license issue", err=True)


@click.command("issue")
@click.option("--revoke", "lic_ids", multiple=True, metavar="LIC_ID", help="A licence to take back; repeat.")
@click.option("--reason", help="With --revoke: why, as the licensee will read it.")
@OUT
def issue_crl(lic_ids: tuple[str, ...], reason: str | None, out: Path | None) -> None:
    """Sign a new revocation list, and take licences back first.

    It counts where it is installed (onsight license crl install FILE), and comes with every licence file from now on.
    """
    from bundle.home import OnsightHome
    from licenses.issuer import Issuer
    from onsight.issuing import keep

    if bool(lic_ids) != (reason is not None):
        raise click.UsageError("--revoke and --reason: expected both or neither.")
    now = datetime.now(UTC)
    home = OnsightHome.from_environment()
    issuer = Issuer.load(home.issuer_dir)
    for lic_id in lic_ids:
        issuer.entry(lic_id)  # all of them, before the first is gone
    made = issuer.revocations(now) if reason is None else [issuer.revoke(each, reason, now) for each in lic_ids][-1]
    data = issuer.ring.sealed.to_bytes() + made.sealed.to_bytes()
    keep(home, data)
    write_result(data, out)
    document = made.document
    click.echo(f"revocation list {document.seq}: {len(document.revoked)} licence(s)", err=True)


def _until(claims: Claims) -> str:
    from licenses.claims import text_of

    return "for ever" if claims.exp is None else f"until {text_of(claims.exp)}"


def _where(claims: Claims) -> str:
    binding = claims.binding
    if binding.mode == "none":
        return "anywhere"
    return f"{binding.mode} {', '.join(each[:8] for each in binding.installs)}"
