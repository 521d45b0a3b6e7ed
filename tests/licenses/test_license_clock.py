"""The clock's floor: what raises it, what does not, and what is written."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from vendor import Vendor, install

from licenses.clock import FILE_NAME, RELEASED, RESETS_NAME, Clock
from licenses.errors import LicenseError
from licenses.gate import LicenseGate

NOW = datetime(2030, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)


class Host:
    """A host whose clocks are set by hand."""

    def __init__(self, folder: Path, now: datetime = NOW) -> None:
        self.folder = folder
        self.now = now
        self.up_s = 0.0

    def runs(self, time: timedelta) -> None:
        """Both clocks go on."""
        self.now += time
        self.up_s += time.total_seconds()

    def clock(self) -> Clock:
        return Clock(self.folder, lambda: self.now, lambda: self.up_s)

    def gate(self) -> LicenseGate:
        return LicenseGate(self.folder, now=lambda: self.now, monotonic=lambda: self.up_s)

    @property
    def mark(self) -> str:
        text: str = json.loads((self.folder / FILE_NAME).read_text())["mark"]
        return text


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "licenses").mkdir()
    return Host(tmp_path / "licenses")


def test_a_mark_grows_by_the_time_that_a_process_runs_and_survives_it(host: Host) -> None:
    clock = host.clock()
    clock.read([NOW - 10 * DAY])
    host.runs(3 * DAY)
    clock.read([NOW - 10 * DAY])
    assert host.mark == "2030-05-25T00:00:00Z"
    host.now = NOW - 1000 * DAY
    reading = host.clock().read([])
    assert (reading.now, reading.behind) == (NOW - 7 * DAY, 993 * DAY)


def test_a_clock_that_is_years_ahead_for_a_while_spoils_nothing(host: Host) -> None:
    clock = host.clock()
    clock.read([NOW - DAY])
    host.now = NOW + 5 * 365 * DAY
    assert clock.read([NOW - DAY]).now == host.now, "it is believed while it says so"
    host.now, host.up_s = NOW, 7200.0
    assert clock.read([NOW - DAY]) == host.clock().read([NOW - DAY])
    assert host.mark == "2030-05-31T02:00:00Z"
    assert clock.read([NOW - DAY]).now == NOW


def test_a_clock_that_was_set_back_revives_no_licence_after_restarts_and_a_new_process_either(
    host: Host, tmp_path: Path
) -> None:
    vendor = Vendor(tmp_path / "issuer", NOW)
    install(host.folder, vendor.file(exp=NOW + 10 * DAY, grace_days=0, on_expiry="stop"))
    gate = host.gate()
    gate.require("serve", issuer=vendor.id, model="trash", new=True)
    for _ in range(11):
        host.runs(DAY)
        gate.holdings()
    host.now = NOW - 730 * DAY
    for each in (gate, host.gate()):
        with pytest.raises(LicenseError) as refused:
            each.require("serve", issuer=vendor.id, model="trash", new=False)
        assert refused.value.code == "LICENSE_EXPIRED"
        assert each.clock_behind >= 740 * DAY


def test_a_model_from_the_future_ends_no_licence(host: Host, tmp_path: Path) -> None:
    vendor = Vendor(tmp_path / "issuer", NOW)
    install(host.folder, vendor.file(exp=NOW + 10 * DAY, grace_days=0, on_expiry="stop"))
    gate = host.gate()
    for _ in range(2):
        gate.require("serve", issuer=vendor.id, model="trash", new=True, made=NOW + 5000 * DAY)
    assert gate.clock_behind == timedelta()


def test_a_mark_is_written_once_an_hour_at_most(host: Host) -> None:
    clock = host.clock()
    clock.read([NOW])
    first = (host.folder / FILE_NAME).stat()
    for _ in range(59):
        host.runs(timedelta(minutes=1))
        clock.read([NOW])
    assert (host.folder / FILE_NAME).stat().st_ino == first.st_ino
    assert first.st_mode & 0o777 == 0o600
    host.runs(timedelta(minutes=1))
    clock.read([NOW])
    assert host.mark == "2030-06-01T01:00:00Z"


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b'{"mark": 5}', b'{"mark": "yesterday"}', b'{"mark": "9999-12-31T23:59:59Z"}', b"\xff" * 5000],
)
def test_a_damaged_mark_is_told_of_and_made_anew_from_signed_dates(
    host: Host, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (host.folder / FILE_NAME).write_bytes(damage)
    assert host.clock().read([NOW - DAY]).now == NOW
    assert "clock mark not read" in caplog.text
    assert host.mark == "2030-05-31T00:00:00Z"


def test_a_mark_that_cannot_be_kept_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    host = Host(tmp_path / "file")
    assert host.clock().read([NOW + DAY]).now == NOW + DAY


def test_a_reset_drops_the_mark_alone_and_is_written_down(host: Host) -> None:
    clock = host.clock()
    host.folder.joinpath(FILE_NAME).write_text(json.dumps({"mark": "2040-01-01T00:00:00Z"}))
    assert clock.read([NOW + DAY]).now.year == 2040
    assert clock.reset() == datetime(2040, 1, 1, tzinfo=UTC)
    assert clock.reset() is None
    log = (host.folder / RESETS_NAME).read_text()
    assert log == "2030-06-01T00:00:00Z forgot 2040-01-01T00:00:00Z\n"
    assert clock.read([NOW + DAY]).now == NOW + DAY


def test_servers_that_run_do_not_write_back_a_mark_that_was_reset(host: Host) -> None:
    servers = [host.clock(), host.clock()]
    (host.folder / FILE_NAME).write_text(json.dumps({"mark": "2040-01-01T00:00:00Z"}))
    assert [server.read([NOW]).now.year for server in servers] == [2040, 2040]
    stale = (host.folder / FILE_NAME).read_bytes()
    host.clock().reset()
    (host.folder / FILE_NAME).write_bytes(stale)  # a server that was about to write
    assert [server.read([NOW]).now for server in (*servers, host.clock())] == [NOW] * 3
    host.up_s += 7200.0
    assert [server.read([NOW]).now for server in servers] == [NOW + timedelta(hours=2)] * 2
    assert host.mark == "2030-06-01T02:00:00Z"


def test_an_install_without_licences_writes_nothing_and_believes_its_clock(host: Host) -> None:
    host.now = RELEASED - 1000 * DAY
    gate = host.gate()
    assert (gate.holdings(), gate.clock_behind) == ((), timedelta())
    with pytest.raises(LicenseError) as refused:
        gate.require("serve", issuer="0" * 32, model="trash", new=True)
    assert refused.value.code == "LICENSE_MISSING"
    assert list(host.folder.iterdir()) == []


def test_this_version_s_own_date_is_a_floor(host: Host, tmp_path: Path) -> None:
    long_ago = RELEASED - 3650 * DAY
    install(host.folder, Vendor(tmp_path / "issuer", long_ago).file(exp=long_ago + 365 * DAY))
    host.now = long_ago
    (holding,) = host.gate().holdings()
    assert holding.state == "expired-serve"
    assert host.gate().clock_behind == RELEASED - long_ago
