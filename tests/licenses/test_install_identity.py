"""An install stays itself: in a new container with the same volume, and when many processes start at once."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from licenses.errors import IdentityError
from licenses.host import host_factors
from licenses.identity import FILE_NAME, InstallIdentity, install_id_of

GPU = "GPU-0a1b2c3d-0000-1111-2222-333344445555"


def a_host(root: Path) -> Path:
    """A host's /etc, /sys and /proc with every kind of factor."""
    files = {
        "etc/machine-id": "3d1219c7c4c5404aaa1f6d2a48adfda4\n",
        "sys/class/dmi/id/product_uuid": "4C4C4544-0042-3510-8052-B4C04F4A3232\n",
        "proc/driver/nvidia/gpus/0000:01:00.0/information": f"Model: NVIDIA L4\nGPU UUID: \t {GPU}\nBus Type: PCIe\n",
        "sys/block/nvme0n1/device/serial": "S4EVNX0R123456  \n",
        "sys/block/sda/serial": "0000000000\n",
        "sys/block/sdb/serial": "STICK\n",
        "sys/block/sdb/removable": "1\n",
        "sys/block/loop0/serial": "LOOP\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_host_is_known_by_four_kinds_and_by_nothing_that_changes_daily(tmp_path: Path):
    assert host_factors(a_host(tmp_path)) == {
        "machine-id": ("3d1219c7c4c5404aaa1f6d2a48adfda4",),
        "dmi-uuid": ("4c4c4544-0042-3510-8052-b4c04f4a3232",),
        "gpu-uuid": (GPU.lower().replace("gpu-", "GPU-"),),
        "disk-serial": ("s4evnx0r123456",),
    }


def test_a_host_that_shows_nothing_is_no_error(tmp_path: Path):
    assert host_factors(tmp_path, nvidia_smi=None) == {}
    assert host_factors(tmp_path, nvidia_smi="/bin/false") == {}


def test_an_identity_is_made_once_and_kept_by_its_owner_alone(tmp_path: Path):
    made = InstallIdentity.load_or_create(tmp_path / "home" / "licenses")
    again = InstallIdentity.load_or_create(tmp_path / "home" / "licenses")
    path = tmp_path / "home" / "licenses" / FILE_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert made.install_id == again.install_id == install_id_of(made.public_key.raw, made.recipient_public)
    assert made.recipient_public == again.recipient_public
    assert made.sign_key.sign(b"m") == again.sign_key.sign(b"m")
    assert repr(made) == f"InstallIdentity({made.install_id})"


def test_processes_that_start_at_once_are_one_install(tmp_path: Path):
    code = (
        "import sys, pathlib; from licenses.identity import InstallIdentity;"
        "sys.stdin.read(1); print(InstallIdentity.load_or_create(pathlib.Path(sys.argv[1])).install_id)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "licenses")]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("x")
        process.stdin.flush()
    found = {process.communicate(timeout=120)[0].strip() for process in started}
    kept = InstallIdentity.load(tmp_path / "licenses")
    assert kept is not None
    assert found == {kept.install_id}


def test_hashes_are_the_same_here_and_others_elsewhere(tmp_path: Path):
    factors = host_factors(a_host(tmp_path / "host"))
    one = InstallIdentity.load_or_create(tmp_path / "one")
    other = InstallIdentity.load_or_create(tmp_path / "other")
    assert one.hashed(factors) == InstallIdentity.load_or_create(tmp_path / "one").hashed(factors)
    for kind, hashes in one.hashed(factors).items():
        assert not set(hashes) & set(other.hashed(factors)[kind])
        assert not set(hashes) & set(factors[kind])


@pytest.mark.parametrize("content", [b"[]", b"{", b'{"v": 1}', b"\xff" * 100, b"[" * 4000, b"x" * 9000], ids=len)
def test_a_damaged_identity_is_told_of_and_never_replaced(tmp_path: Path, content: bytes):
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(IdentityError, match="Restore the file"):
        InstallIdentity.load_or_create(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == content


def test_a_folder_that_cannot_be_written_is_told_of(tmp_path: Path):
    (tmp_path / "file").write_text("no folder")
    assert InstallIdentity.load(tmp_path / "file" / "licenses") is None
    with pytest.raises(IdentityError, match="ONSIGHT_HOME"):
        InstallIdentity.load_or_create(tmp_path / "file" / "licenses")
