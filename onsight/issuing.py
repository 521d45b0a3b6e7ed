"""This install as an issuer of licences: made on first use, with a licence for itself that has no limits.

An install that never issues has no such keys lying about, and never meets a licence.
"""

from __future__ import annotations

from datetime import datetime

import click

from bundle.home import OnsightHome
from bundle.manifest import LicenseDemand
from licenses.claims import ACTIONS, EVERY_MODEL, Binding, Terms
from licenses.errors import IssuerError
from licenses.gate import LicenseGate
from licenses.identity import InstallIdentity
from licenses.issuer import Issuer
from licenses.register import ROOT_NAMES
from licenses.store import LicenseStore
from onsight.signing import own_key


def own_issuer(home: OnsightHome, now: datetime) -> Issuer:
    """Load it, or make it. Raises IssuerError where it is damaged."""
    if not home.issuer_dir.exists():
        try:
            return make_issuer(home, None, now)
        except IssuerError:
            if not home.issuer_dir.exists():  # else another process was faster
                raise
    issuer = Issuer.load(home.issuer_dir)
    if not issuer.entries:  # the first time broke off in between
        _grant_to_itself(home, issuer, now)
    return issuer


def make_issuer(home: OnsightHome, name: str | None, now: datetime) -> Issuer:
    """Make keys, a ring with this install's bundle key in it, and its own licence; say so on stderr.

    name: what customers read; None: after its id. Raises IssuerError where there is one already.
    """
    issuer = Issuer.create(home.issuer_dir, name, now, [own_key(home).public_key])
    _grant_to_itself(home, issuer, now)
    ring = issuer.ring
    click.echo(
        f"{ring.name}: this install issues licences from now on, as {ring.issuer}. Its keys lie in {home.issuer_dir}:"
        f" make a backup, and move {' and '.join(ROOT_NAMES)} to two safes.",
        err=True,
    )
    return issuer


def license_demand(home: OnsightHome, model: str, now: datetime, issuer: str | None = None) -> LicenseDemand:
    """What a bundle shall demand that this install exports in an issuer's name.

    issuer: its id; None: this install itself, which becomes an issuer on first use. Raises LicenseError where this
    install holds no licence of that issuer to export `model`.
    """
    issuer = own_issuer(home, now).ring.issuer if issuer is None else issuer
    LicenseGate(home.licenses_dir, now=lambda: now).require("export", issuer=issuer, model=model, new=True)
    return LicenseDemand(issuer=issuer)


def _grant_to_itself(home: OnsightHome, issuer: Issuer, now: datetime) -> None:
    own = InstallIdentity.load_or_create(home.licenses_dir)
    terms = Terms(
        licensee=issuer.ring.name, edition="own", exp=None, binding=Binding(mode="site", installs=(own.install_id,)),
        models=(EVERY_MODEL,), actions=ACTIONS,
    )  # fmt: skip
    keep(home, issuer.response(issuer.issue(terms, now), now))


def keep(home: OnsightHome, data: bytes) -> None:
    """Install here what this install has just signed, so that its own models follow the newest ring and list."""
    store = LicenseStore(home.licenses_dir)
    store.write(store.check(data, "what was signed"))
