"""What time it is at least, so that setting the host's clock back revives no licence.

The floor is the latest of the dates that are known to have been (of licences, key rings, revocation lists, this
version) and of a stored mark. A model's date is none of them: a maker's clock that is ahead must not end a customer's
licences. The mark grows by monotonic time alone: the host's clock, which may be years ahead for an hour, never raises
it. Time is the later of clock and floor. A clock that lies behind is told of and stops nothing. The mark is one small
file; where it cannot be read or written, signed dates alone count. A reset is a line in a log, and a mark that was made
before the last line counts no longer, wherever it is held: a server that runs must not write it back.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from bundle.files import write_atomically
from licenses.claims import text_of, time_of

log = logging.getLogger("onsight.licenses")

RELEASED: Final = datetime(2026, 11, 27, tzinfo=UTC)  # this version; set anew with each
FILE_NAME: Final = "clock.json"  # a server's watcher takes no notice of files that begin so
RESETS_NAME: Final = "clock-resets.log"
BEHIND: Final = timedelta(hours=24)  # from here on it is told of
CLOCK_ROLLBACK: Final = "LICENSE_CLOCK_ROLLBACK"  # the warning's code; refuses nothing
STORE_EVERY: Final = timedelta(hours=1)
_MAX_BYTES: Final = 1024


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Reading:
    """now: the time to judge by.  behind: how far the host's clock lies before that; zero where it does not."""

    now: datetime
    behind: timedelta


class Clock:
    """folder: of licences, where the mark is.  now: the host's clock.  monotonic: seconds that only grow.

    read_only: keep no mark.
    """

    def __init__(
        self, folder: Path, now: Callable[[], datetime] = utc_now, monotonic: Callable[[], float] = time.monotonic,
        *, read_only: bool = False,
    ) -> None:  # fmt: skip
        self._read_only = read_only
        self._path = folder / FILE_NAME
        self._now = now
        self._monotonic = monotonic
        self._mark: datetime | None = None
        self._marked_s = 0.0
        self._resets = 0  # as they were when the mark was made

    def read(self, signed: Iterable[datetime]) -> Reading:
        """signed: dates that are proven to have been; without any, the clock is believed and nothing is written."""
        now, resets = self._now(), self._count_resets()
        if resets != self._resets:
            self._mark, self._resets = None, resets
        stored = self._stored(resets)
        known = [*signed, *((stored,) if stored else ())]
        if not known:
            return Reading(now, timedelta())
        elapsed_s = self._monotonic()
        grown = [self._mark + timedelta(seconds=elapsed_s - self._marked_s)] if self._mark else []
        floor = self._mark = max(known + grown)
        self._marked_s = elapsed_s
        if not self._read_only and (stored is None or floor - stored >= STORE_EVERY):
            self._store(floor)
        return Reading(max(now, floor), max(timedelta(), floor - now))

    def reset(self) -> datetime | None:
        """Forget the mark, and return it; signed dates go on counting. Written down beside it. Raises OSError."""
        stored = self._stored(self._count_resets())
        if stored is not None:
            with self._path.with_name(RESETS_NAME).open("a") as file:
                file.write(f"{text_of(self._now())} forgot {text_of(stored)}\n")
        self._path.unlink(missing_ok=True)
        return stored

    def _count_resets(self) -> int:
        """Bytes of the log: it only grows."""
        try:
            return self._path.with_name(RESETS_NAME).stat().st_size
        except OSError:
            return 0

    def _stored(self, resets: int) -> datetime | None:
        """The file's mark; None where there is none that was made after the last reset."""
        try:
            with self._path.open("rb") as file:
                document = json.loads(file.read(_MAX_BYTES))
            return time_of(document["mark"]) if document.get("resets", 0) == resets else None
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            log.warning("clock mark not read", extra={"reason": f"{self._path}: {type(error).__name__}"})
            return None

    def _store(self, mark: datetime) -> None:
        with suppress(OSError):  # a folder that is read-only keeps none
            document = {"mark": text_of(mark), "resets": self._resets}
            write_atomically(self._path, (json.dumps(document) + "\n").encode(), mode=0o600)
