"""How an install's licences stand, for people and programs to read. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from licenses.claims import document_facts, text_of
from licenses.errors import LicenseError
from licenses.license import License
from licenses.state import Standing, State


@dataclass(frozen=True, slots=True)
class Holding:
    """A licence of this install, or a file that should have been one.

    name: its lic_id, or the file's.  license, standing: None for a file that cannot be believed.  error: why it does
    not count here, whatever the time; None where it does.
    """

    name: str
    issuer: str | None
    issuer_name: str | None
    license: License | None
    standing: Standing | None
    error: LicenseError | None

    @property
    def state(self) -> str:
        """In one word: of `State`, or the error's code."""
        if self.error is not None:
            return self.error.code
        return State.OK if self.standing is None else self.standing.state

    @property
    def exit_code(self) -> int:
        """What `onsight license status` ends with, were this the only one."""
        if self.error is not None:
            return self.error.exit_code
        return self.standing.state.exit_code if self.standing is not None else 0

    @property
    def facts(self) -> dict[str, Any]:
        """As JSON; of the host's hashes nothing."""
        claims = None if self.license is None else self.license.claims
        end = None if claims is None else claims.grace_end
        return {
            "name": self.name,
            "issuer": self.issuer,
            "issuer_name": self.issuer_name,
            "state": self.state,
            "days_left": None if self.standing is None else self.standing.days_left,
            "grace_until": None if end is None else text_of(end),
            "reason": None if self.error is None else str(self.error),
            "claims": None if claims is None else document_facts(claims),
        }


def most_pressing(holdings: Sequence[Holding]) -> Holding:
    """The one of several that wants somebody to act soonest: what counts not, then what has ended, then what will."""
    return max(holdings, key=lambda each: (each.exit_code, each.state == State.WARNING))
