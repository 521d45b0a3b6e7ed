"""Whether a model that demands a licence may serve here: asked when models are looked at, never by a request.

A bundle that names no issuer is never asked about. One that does goes to the licence gate, with whether it has served
here before: in the grace after an expiry what served goes on, restarts included, and nothing new begins. That memory is
one small file of the home, which is written only for such bundles. Without a gate nothing that demands a licence
serves. An hour passing, or a licence file changing, is reason to look again; what was found then is what the log's
warnings, the metrics and the health document tell.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal, Protocol

from bundle.errors import OnsightError
from bundle.files import write_atomically
from bundle.fingerprint import fingerprint_of
from bundle.home import OnsightHome
from bundle.manifest import Manifest
from licenses.claims import time_of
from licenses.clock import BEHIND, CLOCK_ROLLBACK
from licenses.errors import LicenseError
from licenses.gate import LicenseGate, Usage
from licenses.holding import Holding
from licenses.state import State
from licenses.store import LicenseStore

log = logging.getLogger("onsight.server")

CHECK_EVERY_S: Final = 3600.0
OWN_STATE: Final = "clock"  # files that the gate itself writes begin so; they are no news


class Gate(Protocol):
    """What decides; licenses.gate.LicenseGate."""

    def require(
        self, action: Literal["serve"], *, issuer: str, model: str, new: bool, usage: Usage, made: datetime
    ) -> object:
        """Return if it may; else raise LicenseError."""

    def holdings(self) -> tuple[Holding, ...]:
        """Every licence that is installed, and how it stands."""

    @property
    def clock_behind(self) -> timedelta:
        """How far the host's clock lies behind what is known to have been."""


def entitlement_of(
    home: OnsightHome, usage: Callable[[], Usage] = Usage, announced: Path | None = None, *, read_only: bool = False
) -> Entitlement:
    """Of an installation, whose servers and commands share the memory of what served."""
    gate, record = LicenseGate(home.licenses_dir, read_only=read_only), home.path / "serving" / "licensed.json"
    return Entitlement(gate, home.licenses_dir, record, usage=usage, announced=announced)


class Entitlement:
    """gate: None where there is none.  licenses_dir: whose changes are news.  record: what served under a licence.

    usage: what this server takes up, but for its models.  announced: where processes that share a
    server note which warning one of them has given; None gives each of them its own.  now: seconds that only grow.
    """

    def __init__(
        self, gate: Gate | None, licenses_dir: Path, record: Path, *, usage: Callable[[], Usage] = Usage,
        announced: Path | None = None, now: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._gate = gate
        self._licenses_dir = licenses_dir
        self._record = record
        self._usage = usage
        self._announced = announced
        self._told: set[str] = set()
        self._now = now
        self._began = now()
        self._remembered: frozenset[str] | None = None  # None: to be read
        self._holdings: tuple[Holding, ...] = ()
        self._clock_behind = timedelta()

    @property
    def holdings(self) -> tuple[Holding, ...]:
        """Licences as they stood at the last look."""
        return self._holdings

    @property
    def clock_behind(self) -> timedelta:
        """At the last look."""
        return self._clock_behind

    @property
    def moment(self) -> object:
        """Differs from the last one when licences are to be looked at again.

        A file changed, an hour went by, or a server of this home ended, whose place under a limit is free.
        """
        files = fingerprint_of(self._licenses_dir)
        news = tuple(each for each in files if not each[0].lstrip(".").startswith(OWN_STATE))
        return self.hour, news, LicenseStore(self._licenses_dir).fingerprint, self._usage()

    @property
    def hour(self) -> int:
        """How many have gone by; with each, time may have ended a licence."""
        return int((self._now() - self._began) // CHECK_EVERY_S)

    def begin_look(self) -> None:
        """All models are asked about anew."""
        self._remembered = None
        if self._gate is None:
            return
        try:
            self._holdings, self._clock_behind = self._gate.holdings(), self._gate.clock_behind
        except Exception as error:  # whatever is wrong with licences, what demands none goes on serving
            log.warning("licences not read", extra={"reason": str(error)})
            return
        for holding in self._holdings:
            self._warn(holding)
        if self._clock_behind > BEHIND:
            self._tell(
                "clock",
                "the clock is behind",
                code=CLOCK_ROLLBACK,
                behind_h=int(self._clock_behind.total_seconds() // 3600),
            )

    def refusal(self, manifest: Manifest, manifest_sha256: str, *, beside: int = 0) -> OnsightError | None:
        """Why this bundle may not serve now; None where it may. What cannot be judged may not. Never raises.

        beside: how many models that demand a licence of the same issuer serve with it.
        """
        demand = manifest.license
        if demand is None:
            return None
        if self._gate is None:
            return LicenseError(
                "LICENSE_MISSING",
                f"{manifest.name}: expected a licence of issuer {demand.issuer}, found an install that checks none."
                " Install Onsight's present version and the licence.",
            )
        try:
            self._gate.require(
                "serve",
                issuer=demand.issuer,
                model=manifest.name,
                new=not self.has_served(manifest_sha256),
                usage=replace(self._usage(), loaded_models=beside + 1),
                made=time_of(manifest.created_at),
            )
        except OnsightError as error:
            return error
        except Exception as error:  # even a fault of ours in judging one model must not keep the others from serving
            log.exception("licence not judged", extra={"model": manifest.name})
            return OnsightError(
                f"{manifest.name}: judging its licence failed ({type(error).__name__}); the log says more."
            )
        return None

    def has_served(self, manifest_sha256: str) -> bool:
        """Whether this bundle has served here under a licence; as it was known when the look began."""
        if self._remembered is None:
            self._remembered = self._served()
        return manifest_sha256 in self._remembered

    def _warn(self, holding: Holding) -> None:
        """Once for each step of a file's last days, and once for one that does not count."""
        file = f"{holding.issuer} {holding.name} {holding.license and holding.license.claims.seq}"
        if holding.error is not None:
            self._tell(f"{file} {holding.error.code}", "licence does not count", reason=str(holding.error))
            return
        standing = holding.standing
        if standing is None or (standing.warn_days is None and standing.state in (State.OK, State.WARNING)):
            return
        told = standing.warn_days if standing.warn_days is not None else standing.state.value
        facts = {"license": holding.name, "state": standing.state.value, "days_left": standing.days_left}
        self._tell(f"{file} {told}", "licence to be renewed", **facts)

    def _tell(self, news: str, message: str, **facts: object) -> None:
        """Warn once of the same news; of the processes that share a server, one alone does."""
        # a hash, for a file's own name may hold anything
        key = hashlib.sha256(news.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        if key in self._told:
            return
        self._told.add(key)
        if self._announced is not None:
            try:
                (self._announced / key).open("xb").close()
            except FileExistsError:
                return
            except OSError:  # said twice is better than not at all
                pass
        log.warning(message, extra=facts)

    def remember(self, manifests_sha256: Collection[str]) -> None:
        """These bundles, which demand a licence, serve. What cannot be written is told of, and stops nothing."""
        known = self._served()
        if set(manifests_sha256) <= known:
            return
        try:
            self._record.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(self._record, json.dumps(sorted({*known, *manifests_sha256})).encode(), mode=0o600)
        except OSError as error:
            log.warning("licensed models not remembered", extra={"reason": error.strerror or str(error)})
        else:
            self._remembered = None

    def _served(self) -> frozenset[str]:
        try:
            found = json.loads(self._record.read_bytes())
        except (OSError, ValueError, RecursionError):
            return frozenset()
        return frozenset(map(str, found)) if isinstance(found, list) else frozenset()
