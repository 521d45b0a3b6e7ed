"""The gate: whether this install may do something with a model, by the licences that it holds.

Asked at start, hourly, when a licence file changes and when a bundle is loaded; never by a request. Each licence of the
issuer goes through the same steps: does it cover the action and the model, is it revoked, is it for this install and
host, is it the time, is it within its limits. One that passes is enough. Where none does, the one that came furthest
says why. Reads files and, for a licence that is bound to a host, the host's facts; writes the clock's mark alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from bundle.errors import OnsightError
from bundle.fingerprint import Fingerprint, fingerprint_of
from licenses.claims import Action, Binding, text_of
from licenses.clock import RELEASED, Clock, Reading, utc_now
from licenses.errors import IdentityError, LicenseError
from licenses.held import Held
from licenses.holding import Holding
from licenses.host import Factors, host_factors
from licenses.identity import FILE_NAME, InstallIdentity
from licenses.license import License
from licenses.state import Standing, State, standing
from licenses.store import LicenseStore

FACTORS_KEPT_S: Final = 3600.0  # to ask for them may start a program


@dataclass(frozen=True, slots=True)
class Usage:
    """What an install takes up at this moment, to be held against a licence's limits.

    servers: which of the servers of this install asks, by the time of their start.  loaded_models: with this one.
    concurrency: predictions that the server computes at once.
    """

    servers: int = 1
    gpus: int = 0
    loaded_models: int = 1
    concurrency: int = 0


_LOWER: Final = {
    "servers": "Stop another server of this install",
    "gpus": "Give the server fewer devices",
    "loaded_models": "Unload another model",
    "concurrency": "Lower ONSIGHT_WORKERS or ONSIGHT_THREADS",
}


class LicenseGate:
    """licenses_dir: of the install.  now: the host's clock.  monotonic: seconds that only grow.  factors: what tells
    this host from others.  known: a moment that has been, beside the dates of licence files.  read_only: write nothing.
    """

    def __init__(
        self, licenses_dir: Path, *, now: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic, factors: Callable[[], Factors] = host_factors,
        known: datetime = RELEASED, read_only: bool = False,
    ) -> None:  # fmt: skip
        self._folder = licenses_dir
        self._store = LicenseStore(licenses_dir)
        self._now = now
        self._monotonic = monotonic
        self._clock = Clock(licenses_dir, now, monotonic, read_only=read_only)
        self._host_factors = factors
        self._factors: tuple[float, dict[str, tuple[str, ...]]] | None = None
        self._own: tuple[Fingerprint, InstallIdentity | None] | None = None
        self._known = known

    def require(
        self, action: Action, *, issuer: str, model: str, new: bool, usage: Usage | None = None,
        made: datetime | None = None,
    ) -> License:  # fmt: skip
        """The licence that allows it.

        issuer: whose licence it takes.  new: of serve, a bundle that has not served here before.  usage: None where
        nothing is taken up.  made: when the model was, as its signed manifest says.
        Raises LicenseError; where no licence of the issuer can be believed, what is wrong with the files, or MISSING.
        IdentityError where none allows it, and one is bound to an identity that cannot be read.
        """
        held = self._store.read()
        reading = self._reading(held)
        allowed: list[tuple[int, License]] = []
        refused: list[tuple[int, OnsightError]] = []
        for license_ in self._current(held, reading.now):
            if license_.issuer != issuer:
                continue
            stands = standing(license_.claims, reading.now)
            step, error = self._judge(license_, stands, held, action, model, made)
            if error is None and not stands.allows(action, new=new):
                step, error = _TIME, _not_now(license_, stands, action, new)
            if error is None and usage is not None:
                step, error = _LIMITS, _over_limit(license_, usage)
            if error is None:
                allowed.append((_BEST.index(stands.state), license_))
            else:
                refused.append((step, error))
        if allowed:
            return min(allowed, key=lambda each: each[0])[1]
        if refused:
            raise max(refused, key=lambda each: each[0])[1]
        problems = [problem.error for problem in held.problems]
        if problems and not any(license_.issuer == issuer for each in held.licenses.values() for license_ in each):
            raise problems[0]
        raise LicenseError(
            "LICENSE_MISSING",
            f"{model}: expected a licence of issuer {issuer}, found none. Ask whoever made the model: `onsight license"
            " request --out request.txt` here, and `onsight license install FILE` with their answer.",
        )

    def holdings(self) -> tuple[Holding, ...]:
        """Every licence, in the order of their names, then the files that cannot be believed."""
        held = self._store.read()
        reading = self._reading(held)
        found = []
        for license_ in self._current(held, reading.now):
            error = held.revocation_of(license_) or self._misfit_in_words(license_)
            found.append(_holding(license_, held.rings[license_.issuer].name, reading, error))
        found.sort(key=lambda each: (each.name, each.issuer))
        return *found, *(Holding(each.file, None, None, None, None, each.error) for each in held.problems)

    def preview(self, license_: License, issuer_name: str) -> Holding:
        """How a licence that is not installed would stand here."""
        return _holding(license_, issuer_name, self._reading(self._store.read()), self._misfit_in_words(license_))

    @property
    def clock_behind(self) -> timedelta:
        """How far the host's clock lies behind what is known to have been; zero where it does not."""
        return self._reading(self._store.read()).behind

    def reset_clock(self) -> datetime | None:
        """Forget the stored mark, and return it; signed dates go on counting. Raises OSError."""
        return self._clock.reset()

    # ---- one licence

    def _reading(self, held: Held) -> Reading:
        if self._store.is_empty:
            return Reading(self._now(), timedelta())
        return self._clock.read([*held.signed_dates, self._known])

    @staticmethod
    def _current(held: Held, now: datetime) -> list[License]:
        """Of each lic_id the highest seq that has begun; where none has, the highest."""
        return [
            next((each for each in of_one if each.claims.nbf <= now), of_one[0]) for of_one in held.licenses.values()
        ]

    def _judge(
        self, license_: License, stands: Standing, held: Held, action: Action, model: str, made: datetime | None
    ) -> tuple[int, OnsightError | None]:
        claims = license_.claims
        until = claims.maintenance_until
        if action not in claims.actions or not claims.covers(model):
            return _COVER, LicenseError(
                "LICENSE_NOT_ENTITLED",
                f"{model}: expected a licence to {action} it, found {claims.lic_id}, which allows"
                f" {', '.join(claims.actions)} with {', '.join(claims.models)}. Ask the issuer for one that does.",
            )
        if until is not None and made is not None and made > until:
            return _COVER, LicenseError(
                "LICENSE_NOT_ENTITLED",
                f"{model}: expected one made by {text_of(until)}, when the maintenance of {claims.lic_id} ended, found"
                f" one of {text_of(made)}. Use an earlier version, or ask the issuer to renew the maintenance.",
            )
        if revocation := held.revocation_of(license_):
            return _REVOKED, revocation
        try:
            return _HOST, self.misfit(license_)
        except IdentityError as error:  # a licence that holds anywhere does without
            return _HOST, error

    def _misfit_in_words(self, license_: License) -> LicenseError | None:
        try:
            return self.misfit(license_)
        except IdentityError as error:
            return LicenseError("LICENSE_HOST_MISMATCH", str(error))

    def misfit(self, license_: License) -> LicenseError | None:
        """Why the licence is not for this install and host; None where it is. Raises IdentityError."""
        binding = license_.claims.binding
        if binding.mode == "none":
            return None
        identity = self._identity()
        own = "one without an identity" if identity is None else identity.install_id
        if identity is None or identity.install_id not in binding.installs:
            return LicenseError(
                "LICENSE_HOST_MISMATCH",
                f"{license_.claims.lic_id}: expected install {', '.join(binding.installs)}, found {own}. If this is the"
                " same install, restore its licenses folder; else ask the issuer, with `onsight license request`.",
            )
        if binding.mode == "site":
            return None
        shown = self._shown(binding, identity)
        if len(shown) >= binding.min_match:
            return None
        kinds = ", ".join(binding.factors)
        return LicenseError(
            "LICENSE_HOST_MISMATCH",
            f"{license_.claims.lic_id}: expected a host that shows {binding.min_match} of {kinds} as it did, found"
            f" {', '.join(shown) or 'none'}. If the host was exchanged, ask the issuer for a new licence, with"
            " `onsight license request`.",
        )

    def _identity(self) -> InstallIdentity | None:
        """Read again when its file changed. Raises IdentityError."""
        fingerprint = fingerprint_of(self._folder / FILE_NAME)
        if self._own is None or self._own[0] != fingerprint:
            self._own = fingerprint, InstallIdentity.load(self._folder)
            self._factors = None  # hashed with another salt
        return self._own[1]

    def _shown(self, binding: Binding, identity: InstallIdentity) -> list[str]:
        """Kinds of facts of which the host still shows one."""
        now_s = self._monotonic()
        if self._factors is None or now_s - self._factors[0] >= FACTORS_KEPT_S:
            self._factors = now_s, identity.hashed(self._host_factors())
        here = self._factors[1]
        return [kind for kind, hashes in binding.factors.items() if set(hashes) & set(here.get(kind, ()))]


def _holding(license_: License, issuer_name: str, reading: Reading, error: LicenseError | None) -> Holding:
    stands = standing(license_.claims, reading.now)
    return Holding(license_.claims.lic_id, license_.issuer, issuer_name, license_, stands, error)


# How far a licence came; the furthest of several says why none allows it.
_COVER, _REVOKED, _HOST, _TIME, _LIMITS = range(5)
_BEST: Final = (
    State.OK, State.WARNING, State.GRACE, State.EXPIRED_SERVE, State.STOPPED, State.NOT_YET_VALID,
)  # fmt: skip


def _not_now(license_: License, stands: Standing, action: Action, new: bool) -> LicenseError:
    claims = license_.claims
    if stands.state is State.NOT_YET_VALID:
        return LicenseError(
            "LICENSE_NOT_YET_VALID",
            f"{claims.lic_id}: expected a licence that has begun, found one that begins at {text_of(claims.nbf)}. Wait"
            " until then, or set the host's clock right.",
        )
    if stands.state is State.GRACE or (stands.state is State.EXPIRED_SERVE and action == "serve" and new):
        what = "it goes on serving what served, and nothing new begins"
    else:
        what = "its grace is over too"
    ended = "" if claims.exp is None else f" that ended at {text_of(claims.exp)}"
    return LicenseError(
        "LICENSE_EXPIRED",
        f"{claims.lic_id}: expected a licence that runs, found one{ended}; {what}. Ask the issuer to renew it.",
    )


def _over_limit(license_: License, usage: Usage) -> LicenseError | None:
    for each in fields(usage):
        used, limit = getattr(usage, each.name), getattr(license_.claims.limits, each.name)
        if limit is not None and used > limit:
            return LicenseError(
                "LICENSE_LIMIT",
                f"{license_.claims.lic_id}: expected at most {limit} {each.name.replace('_', ' ')}, found {used}."
                f" {_LOWER[each.name]}, or ask the issuer for a larger licence.",
            )
    return None
