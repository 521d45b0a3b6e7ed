"""Where a licence shall hold: made from the requests of installs, and changed when one of them gives it up. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from licenses.claims import Binding, ReleaseDocument, RequestDocument
from licenses.errors import IssuerError, LicenseError
from licenses.request import install_of


def binding_of(
    mode: Literal["none", "site", "host"], requests: Sequence[RequestDocument], min_match: int | None = None
) -> Binding:
    """Where a licence for the installs that made `requests` shall hold. Raises IssuerError where that makes no sense.

    min_match: of host: how many kinds of facts about the host must be shown; None: 2, or 1 where the request shows 2.
    """
    if mode != "host" and min_match is not None:
        raise IssuerError(f"binding {mode}: expected no number of kinds to match, found {min_match}. Leave it out.")
    if mode == "none":
        if requests:
            raise IssuerError("binding none: expected no request, since it holds anywhere. Leave one of the two out.")
        return Binding(mode="none")
    installs = tuple(dict.fromkeys(install_of(request) for request in requests))
    if not installs:
        raise IssuerError(
            f"binding {mode}: expected the request of each install, found none. On the install: `onsight license"
            " request --out request.txt`; or choose the binding none."
        )
    if mode == "site":
        return Binding(mode="site", installs=installs)
    factors = requests[0].factors
    if len(installs) != 1 or len(factors) < 2:
        raise IssuerError(
            f"binding host: expected the request of one install that shows at least two kinds of its host, found"
            f" {len(installs)} install(s), the first with {len(factors)} kind(s): {', '.join(factors) or 'none'}. Use"
            " the binding site."
        )
    needed = min(2, len(factors) - 1) if min_match is None else min_match
    if not 1 <= needed < len(factors):
        raise IssuerError(
            f"binding host: expected from 1 to {len(factors) - 1} kinds to match, since the request shows"
            f" {len(factors)} and each of them may change, found {needed}. Choose another number."
        )
    return Binding(mode="host", installs=installs, min_match=needed, factors=factors)


def moved(binding: Binding, release: ReleaseDocument, request: RequestDocument) -> Binding:
    """With the install that made `request` in place of the one that made `release`.

    Raises LicenseError (HOST_MISMATCH) where the licence was not bound to that one, IssuerError where the new one
    cannot take its place.
    """
    old, new = install_of(release), install_of(request)
    if old not in binding.installs:
        holders = ", ".join(binding.installs) or "no install at all (binding none)"
        raise LicenseError(
            "LICENSE_HOST_MISMATCH",
            f"release of {release.lic_id}: expected one by an install that holds the licence, {holders}, found one by"
            f" {old}. Run `onsight license transfer` on the right install.",
        )
    if new in binding.installs:
        raise IssuerError(
            f"request: expected one of an install that does not hold {release.lic_id} yet, found install {new}, which"
            " does. Give the request of the install that the licence moves to."
        )
    if binding.mode == "host":
        return binding_of("host", [request], min(binding.min_match, max(1, len(request.factors) - 1)))
    return Binding(mode="site", installs=tuple(new if each == old else each for each in binding.installs))
