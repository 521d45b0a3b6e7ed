"""onsight license install, status, verify, transfer, crl install, clock-reset: what this install holds."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bundle.home import OnsightHome
from onsight.commands.license.files import OUT_REQUIRED, read_file, write_result

if TYPE_CHECKING:
    from licenses.held import Incoming
    from licenses.holding import Holding

FILE = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
CLOCK_EXIT_CODE = 24


@click.command()
@FILE
@click.option("--trust", is_flag=True, help="Trust the keys that the issuer signs bundles with, too.")
def install(file: Path, trust: bool) -> None:
    """Install FILE, the maker's answer to a request: key ring, licence, revocation list.

    All of it is checked before anything is written. A running server takes it up within seconds.
    """
    from licenses.clock import BEHIND
    from licenses.gate import LicenseGate
    from licenses.store import LicenseStore

    home = OnsightHome.from_environment()
    store, gate = LicenseStore(home.licenses_dir), LicenseGate(home.licenses_dir)
    incoming = store.check(read_file(file), file.name)
    for license_ in incoming.licenses:
        if misfit := gate.misfit(license_):
            raise misfit
    store.write(incoming)
    held = {(each.issuer, each.name): each for each in gate.holdings()}
    for license_ in incoming.licenses:
        click.echo(f"installed  {_line(held[license_.issuer, license_.claims.lic_id])}")
    _tell_of_others(incoming)
    _trust_bundle_keys(incoming, trust)
    ahead = incoming.latest - datetime.now(UTC)
    if ahead > BEHIND:
        click.echo(
            f"warning: {file.name} is dated {ahead.days} days after this host's clock, and every licence here is judged"
            " by the later of the two from now on. Set the clock right; if it is right, remove what was installed from"
            f" {home.licenses_dir} and ask the issuer, whose clock is ahead, for another.",
            err=True,
        )


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Print how each licence stands: state, end, whom it is for, what it allows.

    The exit code is that of the one that most wants somebody to act: 0 ok, 10 grace, 20 expired, 21 a file that cannot
    be believed, 22 another install or host, 24 the clock, 25 revoked.
    """
    from licenses.clock import BEHIND, CLOCK_ROLLBACK
    from licenses.gate import LicenseGate
    from licenses.holding import most_pressing

    gate = LicenseGate(OnsightHome.from_environment().licenses_dir)
    held, behind = gate.holdings(), gate.clock_behind
    code = most_pressing(held).exit_code if held else 0
    if behind > BEHIND:
        code = max(code, CLOCK_EXIT_CODE)
    if as_json:
        document = {
            "exit_code": code,
            "clock_behind_s": behind.total_seconds(),
            "clock_code": CLOCK_ROLLBACK if behind > BEHIND else None,
            "licenses": [{**each.facts, "exit_code": each.exit_code} for each in held],
        }
        click.echo(json.dumps(document, ensure_ascii=False))
        ctx.exit(code)
    for each in held:
        click.echo(_line(each))
    if not held:
        click.echo("No licence is installed. Models of your own need none.", err=True)
    if behind > BEHIND:
        click.echo(
            f"warning: the clock lies {behind.days} days behind what is known to have been. Set it right; if the mark"
            " is wrong: onsight license clock-reset",
            err=True,
        )
    ctx.exit(code)


@click.command()
@FILE
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def verify(ctx: click.Context, file: Path, as_json: bool) -> None:
    """Check FILE as `install` would, say what is in it and whether it holds here; install nothing."""
    from licenses.gate import LicenseGate
    from licenses.store import LicenseStore

    folder = OnsightHome.from_environment().licenses_dir
    gate, store = LicenseGate(folder), LicenseStore(folder)
    incoming = store.check(read_file(file), file.name)
    names = {ring.issuer: ring.name for ring in (*store.read().rings.values(), *incoming.rings)}
    held = [gate.preview(license_, names[license_.issuer]) for license_ in incoming.licenses]
    code = max((each.exit_code for each in held), default=0)
    if as_json:
        click.echo(json.dumps({"exit_code": code, "licenses": [each.facts for each in held]}, ensure_ascii=False))
        ctx.exit(code)
    for each in held:
        click.echo(_line(each))
    _tell_of_others(incoming)
    ctx.exit(code)


@click.command()
@click.argument("lic_id")
@OUT_REQUIRED
@click.option("--yes", is_flag=True, help="Do not ask.")
def transfer(lic_id: str, out: Path, yes: bool) -> None:
    """Give up LIC_ID here, so that the maker can issue it for another install.

    Writes a release; the maker needs it, and a request of the other install: onsight license issue --release FILE
    --for REQUEST. A release that was lost is written again.
    """
    from licenses.errors import LicenseError
    from licenses.gate import LicenseGate
    from licenses.identity import InstallIdentity
    from licenses.request import make_release
    from licenses.store import LicenseStore

    home = OnsightHome.from_environment()
    store, gate = LicenseStore(home.licenses_dir), LicenseGate(home.licenses_dir)
    found = [held[0] for (_, each), held in store.read().licenses.items() if each == lic_id]
    if not found and (kept := store.kept_release(lic_id)) is not None:
        write_result(kept, out)
        click.echo(f"{lic_id}: was given up here before; its release is written again", err=True)
        return
    if len(found) != 1:
        raise LicenseError(
            "LICENSE_MISSING",
            f"{lic_id}: expected a licence that is installed here, found {len(found)}. `onsight license status` lists"
            " them.",
        )
    (license_,) = found
    identity = InstallIdentity.load(home.licenses_dir)
    if license_.claims.binding.mode == "none" or identity is None:
        raise click.ClickException(f"{lic_id}: it holds anywhere. Install its file on the other host as it is.")
    if misfit := gate.misfit(license_):
        raise misfit
    if not yes:
        click.confirm(
            f"{lic_id}: what needs it stops here, and a server's models within seconds. Go on?", abort=True, err=True
        )
    release = make_release(identity, license_.issuer, lic_id, datetime.now(UTC))
    store.release(license_, release)  # first: a release that is out while the licence goes on would be two licences
    write_result(release.encode(), out)
    click.echo(f"{lic_id}: given up here", err=True)
    click.echo(f"Next:   give {out} and a request of the other install to the maker", err=True)


@click.command("install")
@FILE
def install_crl(file: Path) -> None:
    """Install FILE, a revocation list: what it names counts here no longer."""
    from licenses.envelope import malformed
    from licenses.store import LicenseStore

    store = LicenseStore(OnsightHome.from_environment().licenses_dir)
    incoming = store.check(read_file(file), file.name)
    if incoming.licenses or not incoming.revocations:
        raise malformed(file.name, "a revocation list", "a licence" if incoming.licenses else "a key ring alone")
    store.write(incoming)
    _tell_of_others(incoming)
    held = store.read()
    for _, licenses in sorted(held.licenses.items()):
        if revocation := held.revocation_of(licenses[0]):
            click.echo(f"revoked    {revocation}")


@click.command("clock-reset")
def clock_reset() -> None:
    """Forget the mark of how late it has been, after a wrong date of the host say; dates that were signed stay.

    Each reset is written down beside the mark.
    """
    from licenses.claims import text_of
    from licenses.gate import LicenseGate

    mark = LicenseGate(OnsightHome.from_environment().licenses_dir).reset_clock()
    click.echo("No mark was there." if mark is None else f"The mark of {text_of(mark)} is forgotten.", err=True)


def _line(holding: Holding) -> str:
    """One licence for a reader."""
    from licenses.claims import text_of

    if holding.license is None or holding.standing is None:
        return f"{holding.name}  {holding.state}  {holding.error}"
    claims = holding.license.claims
    left = holding.standing.remaining
    ends = "for ever" if claims.exp is None or left is None else f"until {text_of(claims.exp)} ({_days(left)})"
    allowed = f"{', '.join(claims.actions)}: {', '.join(claims.models)}"
    line = f"{claims.lic_id}  {holding.state}  {ends}  {claims.licensee}  {allowed}  by {holding.issuer_name}"
    return line if holding.error is None else f"{line}\n  {holding.error}"


def _days(left: timedelta) -> str:
    whole = abs(left) // timedelta(days=1)
    return f"{whole} day{'' if whole == 1 else 's'} {'left' if left > timedelta() else 'ago'}"


def _tell_of_others(incoming: Incoming) -> None:
    for ring in incoming.rings:
        click.echo(f"key ring   {ring.seq} of {ring.name} ({ring.issuer})")
    for listed in incoming.revocations:
        click.echo(f"revocations {listed.document.seq} of {listed.document.issuer}: {len(listed.document.revoked)}")


def _trust_bundle_keys(incoming: Incoming, trust: bool) -> None:
    """Keys that the issuers sign bundles with; those that are not trusted here are told of, or trusted."""
    from bundle.trust import TrustStore

    store = TrustStore(OnsightHome.from_environment().trust_dir)
    known = {key.key_id for key in store.list()}
    now = datetime.now(UTC)
    for ring in incoming.rings:
        for key in ring.document.keys:
            counts = key.use == "bundle" and not key.revoked and key.not_before <= now <= key.not_after
            if not counts or key.key_id in known:
                continue
            if trust:
                store.add(key.public_key, ring.name)
                click.echo(f"trusted    {key.key_id}  {ring.name}")
            else:
                click.echo(
                    f"{ring.name} signs bundles with key {key.key_id}, which is not trusted here. With --trust it is.",
                    err=True,
                )
