"""onsight license: both sides of it, what an install asks for and holds, and what an issuer signs.

Exit codes of all of them: docs/licensing.md.
"""

from __future__ import annotations

from typing import Any

import click

from licenses.errors import LicenseError
from onsight.commands.license import holding, issuing, own
from onsight.commands.license.keyring import keyring


class _Group(click.Group):
    """Where a licence or another signed document is refused, the exit code says why."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LicenseError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit_code)


@click.group(cls=_Group)
def command() -> None:
    """Licences, offline: by files alone, from whoever makes a model to whoever runs it.

    \b
    onsight license request --out request.txt                  on the install that needs one
    onsight license issue --for request.txt --licensee ACME --out acme.lic       at the issuer
    onsight license install acme.lic                           on the install again

    Models of your own on your own install need none of this.
    """


@command.group()
def crl() -> None:
    """Revocation lists: which licences count no longer, though their signature holds."""


for _each in (
    own.identity, own.request, holding.install, holding.status, holding.verify, holding.transfer, holding.clock_reset,
    issuing.issue, issuing.list_issued, keyring,
):  # fmt: skip
    command.add_command(_each)
for _each in (issuing.issue_crl, holding.install_crl):
    crl.add_command(_each)
