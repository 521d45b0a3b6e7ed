"""Whether a model that demands a licence may serve here: asked when models are looked at, never by a request.

A bundle that names no issuer is never asked about. One that does goes to the licence gate, with whether it has served
here before: in the grace after an expiry what served goes on, restarts included, and nothing new begins. That memory is
one small file of the home, which is written only for such bundles. Without a gate nothing that demands a licence
serves. An hour passing, or a licence file changing, is reason to look again.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final, Literal, Protocol

from bundle.files import write_atomically
from bundle.manifest import Manifest
from licenses.errors import LicenseError
from server.models.shelf import Fingerprint, fingerprint_of

log = logging.getLogger("onsight.server")

CHECK_EVERY_S: Final = 3600.0
OWN_STATE: Final = "clock"  # files that the gate itself writes begin so; they are no news


class Gate(Protocol):
    """What decides; licenses.gate.LicenseGate."""

    def require(self, action: Literal["serve"], *, issuer: str, model: str, new: bool) -> object:
        """Return if it may; else raise LicenseError."""


class Entitlement:
    """gate: None where there is none.  licenses_dir: whose changes are news.  record: what served under a licence.

    now: seconds that only grow.
    """

    def __init__(
        self, gate: Gate | None, licenses_dir: Path, record: Path, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._gate = gate
        self._licenses_dir = licenses_dir
        self._record = record
        self._now = now
        self._began = now()

    @property
    def moment(self) -> tuple[int, Fingerprint]:
        """Differs from the last one when licences are to be looked at again."""
        files = fingerprint_of(self._licenses_dir)
        hour = int((self._now() - self._began) // CHECK_EVERY_S)
        return hour, tuple(each for each in files if not each[0].lstrip(".").startswith(OWN_STATE))

    def refusal(self, manifest: Manifest, manifest_sha256: str) -> LicenseError | None:
        """Why this bundle may not serve now; None where it may."""
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
                "serve", issuer=demand.issuer, model=manifest.name, new=manifest_sha256 not in self._served()
            )
        except LicenseError as error:
            return error
        return None

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

    def _served(self) -> set[str]:
        try:
            found = json.loads(self._record.read_bytes())
        except (OSError, ValueError):
            return set()
        return {str(each) for each in found} if isinstance(found, list) else set()
