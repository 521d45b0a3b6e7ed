"""onsight verify: every check of a bundle, explained."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("bundle", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
@click.pass_context
def command(context: click.Context, bundle: Path, as_json: bool) -> None:
    """Check a bundle as a server would, and say what each check found and means. Nothing is written.

    \b
    onsight verify trash.onsight

    Exit code 0 where this install would accept it, 1 where it would not. What a missing runtime keeps from being tried
    is "not checked".
    """
    from bundle.home import OnsightHome
    from bundle.trust import TrustStore
    from licenses.opener import opener_of
    from onsight.verifying import verify_bundle
    from server.models.entitlement import entitlement_of

    home = OnsightHome.from_environment()
    refusal = entitlement_of(home, read_only=True).refusal
    verdict = verify_bundle(bundle, TrustStore(home.trust_dir), opener_of(home.licenses_dir), refusal)
    manifest = verdict.manifest
    if as_json:
        document = {
            "bundle": str(bundle),
            "accepted": verdict.accepted,
            "key_id": verdict.key_id,
            "manifest_sha256": verdict.manifest_sha256,
            "name": manifest and manifest.name,
            "version": manifest and manifest.version,
            "checks": [
                {
                    "name": check.name, "status": check.status, "meaning": check.meaning, "found": check.found,
                    "code": check.code,
                }
                for check in verdict.checks
            ],
        }  # fmt: skip
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        for check in verdict.checks:
            colon = ": " if check.found else ""
            click.echo(f"{check.status:<11}  {check.name:<13}  {check.meaning}{colon}{check.found}")
        click.echo("accepted" if verdict.accepted else "REFUSED: no server with this install's keys would serve it")
    context.exit(0 if verdict.accepted else 1)
