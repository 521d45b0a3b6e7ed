"""When waiting jobs will start: an upper estimate, since a training may take its whole time and mostly ends earlier."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, select

from studio.database.tables import jobs
from studio.jobs.inputs import TrainingInput
from studio.jobs.queue import HELD, SHORT_KINDS, WAITING, Kind, State

_STARTING_S: Final = 30.0  # libraries to load, features to read
_EXPORT_S: Final = 90.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """place: in its lane; 0 while it runs, 1 for the next.  starts_in_s: 0 while it runs.  takes_s: what is left."""

    place: int
    starts_in_s: float
    takes_s: float


def estimates(connection: Connection, slots: int, now: datetime) -> dict[int, Estimate]:
    """Of every job of the install that runs or waits, by id. slots: how many run at once."""
    states = [state.value for state in WAITING]
    rows = connection.execute(select(jobs).where(jobs.c.state.in_(states)).order_by(jobs.c.id))
    return line_up(list(rows), slots, now)


def line_up(rows: Sequence[Any], slots: int, now: datetime) -> dict[int, Estimate]:
    """rows: of jobs that run or wait, in the queue's order. Short jobs have a lane of their own beside the slots."""
    found: dict[int, Estimate] = {}
    for lane, wide in (
        ([row for row in rows if row.kind in SHORT_KINDS], 1),
        ([row for row in rows if row.kind not in SHORT_KINDS], max(1, slots)),
    ):
        running = {row.id: Estimate(0, 0.0, _left_s(row, now)) for row in lane if row.state in HELD}
        free_at = sorted(each.takes_s for each in running.values())[:wide]
        free_at += [0.0] * (wide - len(free_at))
        heapq.heapify(free_at)
        found |= running
        for place, row in enumerate((row for row in lane if row.state == State.QUEUED), 1):
            starts_s, takes_s = heapq.heappop(free_at), _whole_s(row)
            heapq.heappush(free_at, starts_s + takes_s)
            found[row.id] = Estimate(place, starts_s, takes_s)
    return found


def _whole_s(row: Any) -> float:
    if row.kind != Kind.TRAINING:
        return _EXPORT_S
    minutes: float = TrainingInput.model_validate(row.input).minutes
    return _STARTING_S + minutes * 60


def _left_s(row: Any, now: datetime) -> float:
    """What the process says, less the time since; what is planned, where it has said nothing yet."""
    if "eta_s" in row.progress and row.heartbeat_at is not None:
        left_s, since = float(row.progress["eta_s"]), row.heartbeat_at
    else:
        left_s, since = _whole_s(row), row.started_at or now
    gone_s: float = (now - since).total_seconds()
    return max(0.0, left_s - gone_s)
