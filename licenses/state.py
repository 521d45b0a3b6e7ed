"""How a licence stands at a moment, and what it allows then; the table of docs/licensing.md in code. No I/O.

From `nbf` to `exp` it is ok, in its last 60 days with a warning. Then comes the grace, in which everything goes on but
what is new to serve; then `on_expiry` decides: with `serve`, models that served go on for ever; with `stop`, nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from licenses.claims import Action, Claims

WARN_DAYS: Final = (1, 7, 30, 60)  # before the end


class State(StrEnum):
    OK = "ok"
    WARNING = "warning"
    GRACE = "grace"
    EXPIRED_SERVE = "expired-serve"
    STOPPED = "stopped"
    NOT_YET_VALID = "not-yet-valid"

    @property
    def exit_code(self) -> int:
        """What `onsight license status` ends with."""
        return _EXIT_CODES.get(self, 0)


_EXIT_CODES: Final = {State.GRACE: 10, State.EXPIRED_SERVE: 20, State.STOPPED: 20, State.NOT_YET_VALID: 24}


@dataclass(frozen=True, slots=True)
class Standing:
    """remaining: until `exp`, negative after it; None for a licence without an end.

    warn_days: the nearest of WARN_DAYS that has been reached, while the licence is valid.
    """

    state: State
    remaining: timedelta | None
    warn_days: int | None = None

    @property
    def days_left(self) -> int | None:
        """Whole days until `exp`, rounded down: 0 on the last day, negative after it."""
        return None if self.remaining is None else self.remaining // timedelta(days=1)

    def allows(self, action: Action, *, new: bool) -> bool:
        """new: of serve, a bundle that has not served here before."""
        if self.state in (State.OK, State.WARNING):
            return True
        if self.state is State.GRACE:
            return not (action == "serve" and new)
        return self.state is State.EXPIRED_SERVE and action == "serve" and not new


def standing(claims: Claims, now: datetime) -> Standing:
    """now: aware; a licence begins at `nbf` and ends at `exp`, the first moment at which it is valid no more."""
    remaining = None if claims.exp is None else claims.exp - now
    if now < claims.nbf:
        return Standing(State.NOT_YET_VALID, remaining)
    if remaining is None:
        return Standing(State.OK, None)
    if remaining > timedelta():
        reached = next((days for days in WARN_DAYS if remaining <= timedelta(days=days)), None)
        return Standing(State.OK if reached is None else State.WARNING, remaining, reached)
    if remaining > timedelta(days=-claims.grace_days):
        return Standing(State.GRACE, remaining)
    return Standing(State.EXPIRED_SERVE if claims.on_expiry == "serve" else State.STOPPED, remaining)
