"""A container that is made anew with the same volume keeps its licence: 100 of 100, and in processes of their own too.

Each is another root file system: another machine id (or none), host name, MAC address, and DMI, disks and GPUs that are
shown or not, as different runtimes do.
"""

from __future__ import annotations

import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from vendor import Vendor, install

from licenses.binding import binding_of
from licenses.errors import LicenseError
from licenses.gate import LicenseGate
from licenses.host import host_factors
from licenses.identity import InstallIdentity
from licenses.request import make_request, read_request

NOW = datetime(2030, 6, 1, tzinfo=UTC)
MACHINE = "dmi-uuid-of-the-machine-4c4c4544"
DISKS = ("WD-1234", "WD-5678")

ASK = """
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from licenses.gate import LicenseGate
from licenses.host import host_factors
volume, root, issuer = sys.argv[1:]
facts = partial(host_factors, Path(root), None)
gate = LicenseGate(Path(volume), now=lambda: datetime(2030, 6, 1, tzinfo=UTC), factors=facts)
gate.require("serve", issuer=issuer, model="trash", new=False)
"""


def make_root(folder: Path, draw: random.Random, *, with_machine: bool = True) -> Path:
    """What a new container shows of itself and of the machine below it."""
    files = {
        "etc/hostname": f"{draw.getrandbits(48):012x}",
        "sys/class/net/eth0/address": ":".join(f"{draw.getrandbits(8):02x}" for _ in range(6)),
    }
    if draw.random() < 0.8:  # some images have none
        files["etc/machine-id"] = f"{draw.getrandbits(128):032x}"
    if with_machine:
        files["sys/class/dmi/id/product_uuid"] = MACHINE
        files |= {f"sys/block/sd{'ab'[i]}/device/serial": serial for i, serial in enumerate(DISKS)}
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return folder


def gate_in(volume: Path, root: Path) -> LicenseGate:
    return LicenseGate(volume, now=lambda: NOW, factors=partial(host_factors, root, None))


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    InstallIdentity.load_or_create(tmp_path / "volume")
    return tmp_path / "volume"


def licensed(volume: Path, tmp_path: Path, mode: str) -> str:
    """Request, issue and install, in the first container."""
    root = make_root(tmp_path / "first", random.Random(0))
    identity = InstallIdentity.load(volume)
    assert identity is not None
    request = read_request(make_request(identity, "line 3", host_factors(root, None), NOW).encode())
    vendor = Vendor(tmp_path / "issuer", NOW)
    install(volume, vendor.file(binding=binding_of(mode, [request]), exp=NOW + timedelta(days=365)))  # type: ignore[arg-type]
    gate_in(volume, root).require("serve", issuer=vendor.id, model="trash", new=True)
    return vendor.id


@pytest.mark.parametrize("mode", ["site", "host"])
def test_it_keeps_its_licence_100_times_of_100(volume: Path, tmp_path: Path, mode: str) -> None:
    issuer = licensed(volume, tmp_path, mode)
    draw = random.Random(1)
    kept = 0
    for number in range(100):
        # a site licence asks for the volume alone; one for a host also for the machine below, whose id has changed
        root = make_root(tmp_path / f"root{number}", draw, with_machine=mode == "host" or draw.random() < 0.5)
        kept += gate_in(volume, root).require("serve", issuer=issuer, model="trash", new=False).issuer == issuer
    assert kept == 100


def test_in_processes_of_their_own_too(volume: Path, tmp_path: Path) -> None:
    issuer = licensed(volume, tmp_path, "site")
    draw = random.Random(2)
    for number in range(4):
        root = make_root(tmp_path / f"root{number}", draw, with_machine=False)
        subprocess.run([sys.executable, "-c", ASK, volume, root, issuer], check=True)


def test_another_volume_on_the_same_machine_has_no_licence(volume: Path, tmp_path: Path) -> None:
    issuer = licensed(volume, tmp_path, "site")
    copied = tmp_path / "other"
    (volume / "identity.json").unlink()
    volume.rename(copied)
    for _ in range(2):  # without an identity, and with a new one
        with pytest.raises(LicenseError) as refused:
            gate_in(copied, tmp_path / "first").require("serve", issuer=issuer, model="trash", new=False)
        assert refused.value.code == "LICENSE_HOST_MISMATCH"
        InstallIdentity.load_or_create(copied)


def test_a_licence_for_a_host_does_not_follow_its_volume_to_another_machine(volume: Path, tmp_path: Path) -> None:
    issuer = licensed(volume, tmp_path, "host")
    other = make_root(tmp_path / "elsewhere", random.Random(3), with_machine=False)
    with pytest.raises(LicenseError, match="dmi-uuid") as refused:
        gate_in(volume, other).require("serve", issuer=issuer, model="trash", new=False)
    assert refused.value.code == "LICENSE_HOST_MISMATCH"
