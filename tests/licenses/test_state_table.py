"""The table of docs/licensing.md, read from there, against the gate: two years back to five years ahead, and restarts.

The clock stands at moments around every border and four weeks apart elsewhere; at each of them a new gate reads the
install's files from disk, as a restarted server does, and is asked about every action.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest
from vendor import Vendor, install

from licenses.claims import Action, Claims
from licenses.errors import LicenseError
from licenses.gate import LicenseGate
from licenses.state import standing

PAGE = Path(__file__).parents[2] / "docs" / "licensing.md"
ISSUED = datetime(2030, 1, 1, tzinfo=UTC)  # later than any date that this version knows to have been
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
DIFFERENT_ENDS = [
    {"exp": ISSUED + 365 * DAY},
    {"exp": ISSUED + 365 * DAY, "on_expiry": "stop"},
    {"exp": ISSUED + 730 * DAY, "grace_days": 90, "on_expiry": "stop"},
    {"exp": ISSUED + 30 * DAY, "grace_days": 0, "on_expiry": "stop"},
    {"exp": ISSUED + 30 * DAY, "grace_days": 0},
    {"exp": None},
]


@dataclass(frozen=True)
class Row:
    state: str
    begins: str
    ends: str
    exit_code: int
    served: bool
    new: bool
    others: bool

    def allows(self, action: Action, new: bool) -> bool:
        if action != "serve":
            return self.others
        return self.new if new else self.served


def read_rows() -> list[Row]:
    section = PAGE.read_text().split("### What each state allows")[1].split("\n###")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\| `.*$", section, re.M)]
    yes = {"yes": True, "no": False}
    return [Row(name.strip("`"), a, b, int(code), *(yes[each] for each in cells)) for name, a, b, code, *cells in rows]


def moment(text: str, claims: Claims, otherwise: datetime) -> datetime | None:
    """A border of the table; None for one that a licence without an end never comes to."""
    if not text:
        return otherwise
    if "exp" in text and claims.exp is None:
        return None
    found = {"`nbf`": claims.nbf, "`exp`": claims.exp}[text.split()[0]]
    if (shift := text.split(maxsplit=1)[1:]) and found is not None:
        sign, amount = shift[0].split(maxsplit=1)
        days = claims.grace_days if amount == "`grace_days`" else int(amount.removesuffix(" days"))
        found += days * DAY * (1 if sign == "+" else -1)
    return found


def row_of(rows: list[Row], claims: Claims, at: datetime) -> Row:
    """The one row that the table has for a moment."""
    fitting = []
    for row in rows:
        begins = moment(row.begins, claims, datetime.min.replace(tzinfo=UTC))
        ends = moment(row.ends, claims, datetime.max.replace(tzinfo=UTC)) or datetime.max.replace(tzinfo=UTC)
        if row.begins and begins is not None:  # a licence shorter than its warning is warned of from its first day
            begins = max(begins, claims.nbf)
        after = {"expired-serve": "serve", "stopped": "stop"}.get(row.state, claims.on_expiry)
        if begins is not None and begins <= at < ends and after == claims.on_expiry:
            fitting.append(row)
    (row,) = fitting
    return row


def moments(claims: Claims) -> Iterator[datetime]:
    borders = [claims.nbf] + ([] if claims.exp is None else [claims.exp + days * DAY for days in (-60, -30, -7, -1, 0)])
    if claims.grace_end is not None:
        borders.append(claims.grace_end)
    yield from (claims.nbf + days * DAY for days in range(-730, 5 * 365 + 1, 28))
    for border in borders:
        yield from (border + shift for shift in (-DAY, -SECOND, 0 * SECOND, SECOND, DAY))


@pytest.mark.parametrize("terms", DIFFERENT_ENDS, ids=lambda terms: "-".join(map(str, terms.values())) or "")
def test_the_gate_is_the_table_at_every_moment_and_after_every_restart(
    tmp_path: Path, terms: dict[str, object]
) -> None:
    vendor = Vendor(tmp_path / "issuer", ISSUED - 730 * DAY)  # nothing is dated later than the first moment
    made = vendor.issue(begins=ISSUED, actions=get_args(Action), **terms)
    claims, rows, seen = made.claims, read_rows(), set()
    folder = tmp_path / "licenses"
    install(folder, vendor.issuer.response(made, vendor.now))
    for at in moments(claims):
        row = row_of(rows, claims, at)
        seen.add(row.state)
        (folder / "clock.json").unlink(missing_ok=True)  # each moment by itself: the mark has tests of its own
        gate = LicenseGate(folder, now=lambda at=at: at, monotonic=lambda: 0.0)  # type: ignore[misc]
        (holding,) = gate.holdings()
        assert holding.standing is not None
        assert (holding.state, holding.exit_code) == (row.state, row.exit_code), at
        assert holding.standing.days_left == (None if claims.exp is None else (claims.exp - at) // DAY)
        for action in get_args(Action):
            for new in (True, False):
                assert allowed(gate, action, vendor.id, new=new) is row.allows(action, new), (at, action, new)
    assert seen >= {"not-yet-valid", "warning" if claims.exp else "ok"}


def test_every_state_of_the_table_is_one_of_the_program_and_none_is_missing() -> None:
    from licenses.state import State

    assert [row.state for row in read_rows()] == [State.NOT_YET_VALID, *list(State)[:-1]]


def test_a_moment_belongs_to_the_state_that_begins_with_it_and_warnings_come_in_steps(tmp_path: Path) -> None:
    claims = Vendor(tmp_path / "issuer", ISSUED).issue(exp=ISSUED + 100 * DAY).claims
    assert claims.exp is not None
    steps = {days: standing(claims, claims.exp - days * DAY).warn_days for days in (61, 60, 31, 30, 8, 7, 2, 1)}
    assert steps == {61: None, 60: 60, 31: 60, 30: 30, 8: 30, 7: 7, 2: 7, 1: 1}
    assert standing(claims, claims.exp - SECOND).days_left == 0
    assert standing(claims, claims.exp).days_left == 0
    assert standing(claims, claims.exp + SECOND).days_left == -1


def allowed(gate: LicenseGate, action: Action, issuer: str, *, new: bool) -> bool:
    try:
        gate.require(action, issuer=issuer, model="trash", new=new)
    except LicenseError as error:
        if error.code not in ("LICENSE_EXPIRED", "LICENSE_NOT_YET_VALID"):
            raise
        return False
    return True
