"""A maker of licences for tests: `Vendor(folder)` issues, `install` keeps what it issued as a customer does."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from licenses.claims import Binding, Terms
from licenses.issuer import Issuer
from licenses.license import License
from licenses.signing import sign_license
from licenses.store import LicenseStore


class Vendor:
    """An issuer whose keys are dated `now`."""

    def __init__(self, folder: Path, now: datetime) -> None:
        self.issuer = Issuer.create(folder, "Maker", now)
        self.now = now

    @property
    def id(self) -> str:
        return self.issuer.ring.issuer

    def issue(
        self, lic_id: str | None = None, seq: int = 1, now: datetime | None = None, begins: datetime | None = None,
        **terms: object,
    ) -> License:  # fmt: skip
        """For anywhere, for ever and any model to serve, from now on, unless said otherwise.

        lic_id, seq, begins: past the register, so that a test has them as it wants.
        """
        fields = {
            "licensee": "ACME",
            "models": ["*"],
            "actions": ["serve"],
            "exp": None,
            "binding": Binding(mode="none"),
        }
        granted, now = Terms.model_validate({**fields, **terms}), now or self.now
        if lic_id is None and begins is None:
            return self.issuer.issue(granted, now)
        ring = self.issuer.ring
        return sign_license(self.issuer.folder, ring, granted, lic_id or "lic-test", seq, now, begins or now)

    def file(self, **terms: Any) -> bytes:
        """What a customer installs; the arguments of `issue`."""
        return self.issuer.response(self.issue(**terms), terms.get("now") or self.now)


def install(licenses_dir: Path, data: bytes) -> None:
    store = LicenseStore(licenses_dir)
    store.write(store.check(data))
