"""The steps that a call is made of, and how patient a call is. Nothing here sends, sleeps or reads a clock."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from onsight.client.errors import ClientError

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 10.0


@dataclass(frozen=True, slots=True)
class Send:
    """Send this and wait for the whole answer, timeout_s at most. path: from the first slash on, ASCII."""

    method: str
    path: str
    body: bytes | None
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. retry_after, location: its headers, "" where there are none."""

    status: int
    body: bytes
    retry_after: str = ""
    location: str = ""


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer. reason: what was found instead.  reached: a connection stood.  cause: what the network raised.

    final: where trying again would not help, the error to raise.
    """

    reason: str
    reached: bool
    cause: BaseException | None = None
    final: ClientError | None = None


T = TypeVar("T")
Step: TypeAlias = Send | Pause
Outcome: TypeAlias = Reply | Lost | None
Steps: TypeAlias = Generator[Step, Outcome, T]


@dataclass(frozen=True, slots=True)
class Patience:
    """timeout_s: for one try.  total_timeout_s: for a call, with all its tries and pauses.

    retries: of lost connections.
    jitter: a number in [0, 1), another each time, so that many clients do not come back at the same moment.
    """

    timeout_s: float
    total_timeout_s: float
    retries: int
    jitter: Callable[[], float]

    def __post_init__(self) -> None:
        for name in ("timeout_s", "total_timeout_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected seconds above 0, found {getattr(self, name)!r}.")
        if self.retries < 0:
            raise ValueError(f"retries: expected a whole number from 0, found {self.retries!r}.")

    def pause_s(self, count: int) -> float:
        """After the count-th failure, from 0: twice as long each time, half of it by chance."""
        longest = min(FIRST_PAUSE_S * 2.0 ** min(count, 60), LONGEST_PAUSE_S)
        return longest * (0.5 + 0.5 * self.jitter())

    def later_s(self, retry_after_s: float | None, count: int) -> float:
        """Never sooner than the server says, and up to a quarter later."""
        if retry_after_s is None:
            return self.pause_s(count)
        return max(retry_after_s, FIRST_PAUSE_S) * (1 + 0.25 * self.jitter())
