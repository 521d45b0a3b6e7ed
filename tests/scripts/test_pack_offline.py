"""`onsight pack-offline`: what it makes, what it keeps, what it refuses."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from installation import Installation
from local_wheelhouse import (
    ROOT,
    STAND_IN,
    index_environment,
    made_of,
    pack_offline,
    write_source_tree,
    write_stand_in,
    write_wheel,
)

from onsight.wheelhouse import needed_glibc


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    write_stand_in(folder)
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_source_tree(tmp_path / "source")


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow
def test_the_same_files_give_the_same_wheelhouse_and_the_same_archive(
    source: Path, index: Path, tmp_path: Path
) -> None:
    environment = index_environment(index)
    folder = tmp_path / "for hosts"
    made = made_of(pack_offline(folder, source, environment, "--tar", "--json"))
    assert made["extras"] == ["server"]
    assert made["version"] == "0.1.0"
    assert made["python"] == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert made["machine"] == platform.machine()
    assert made["wheels"] == 2
    assert made["fingerprint"] == digests(folder)["SHA256SUMS"]
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    first, archive = digests(folder), Path(str(made["tar"])).read_bytes()
    with tarfile.open(tmp_path / "for hosts.tar") as packed:
        assert {name.removeprefix("for hosts/") for name in packed.getnames()} == set(first)
        assert packed.getmember("for hosts/scripts/install_linux.sh").mode == 0o755
        assert {member.uid for member in packed} == {0}
    again = made_of(pack_offline(folder, source, environment, "--tar", "--json"))
    assert again == made
    assert digests(folder) == first
    assert (tmp_path / "for hosts.tar").read_bytes() == archive


@pytest.mark.slow
def test_an_interrupted_packing_is_refused_and_goes_on_where_it_was(
    source: Path, index: Path, tmp_path: Path, host: Installation
) -> None:
    environment, folder = index_environment(index), tmp_path / "wheelhouse"
    assert made_of(pack_offline(folder, source, environment, "--json"))["wheels"] == 2
    stand_in = next(folder.glob("wheels/what_*.whl"))
    before = stand_in.stat().st_ino
    backend = (source / "backend.py").read_text()
    begun = tmp_path / "begun"
    (source / "backend.py").write_text(
        f"{backend}\nimport pathlib, time\npathlib.Path({str(begun)!r}).touch()\ntime.sleep(60)\n"
    )
    process = subprocess.Popen(
        [Path(sys.executable).parent / "onsight", "pack-offline", folder, "--source", source],
        env=environment, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    end = time.monotonic() + 60
    while not begun.exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert "expected a wheelhouse with SHA256SUMS" in host.install(folder, code=1)
    (source / "backend.py").write_text(backend)
    assert made_of(pack_offline(folder, source, environment, "--json"))["wheels"] == 2
    assert stand_in.stat().st_ino == before, "what was fetched is kept"
    assert not list(folder.glob(".building-*"))


@pytest.mark.slow
def test_a_wheel_that_was_damaged_is_fetched_again_and_an_old_one_removed(
    source: Path, index: Path, tmp_path: Path
) -> None:
    environment, folder = index_environment(index), tmp_path / "wheelhouse"
    made = made_of(pack_offline(folder, source, environment, "--json"))
    wheel = next(folder.glob("wheels/what_*.whl"))
    wheel.write_bytes(wheel.read_bytes()[:-100])
    write_wheel(folder / "wheels", STAND_IN, "0.9", {})
    assert made_of(pack_offline(folder, source, environment, "--json")) == made


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extras", "says"),
    [
        ("server,gpu", "expected exactly one of server and gpu"),
        ("train", "expected exactly one of server and gpu"),
        ("server,astrology", "expected some of gpu, server, studio, train, found astrology"),
    ],
)
def test_extras_that_cannot_work_are_refused(source: Path, index: Path, tmp_path: Path, extras: str, says: str) -> None:
    done = pack_offline(tmp_path / "wheelhouse", source, index_environment(index), "--extras", extras)
    assert done.returncode == 1
    assert says in " ".join(done.stderr.split())


@pytest.mark.slow
def test_a_package_that_the_index_lacks_is_named(source: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    done = pack_offline(tmp_path / "wheelhouse", source, index_environment(empty))
    assert done.returncode == 1
    assert STAND_IN in done.stderr
    assert "the same command goes on" in done.stderr
    assert not (tmp_path / "wheelhouse/SHA256SUMS").exists()


def test_other_peoples_folders_and_installed_packages_are_refused(index: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/1.jpg").touch()
    done = pack_offline(tmp_path / "photos", ROOT, index_environment(index))
    assert done.returncode == 1
    assert "expected an empty folder or a wheelhouse" in done.stderr
    done = pack_offline(tmp_path / "new", Path(shutil.__file__).parent, index_environment(index))
    assert done.returncode == 1
    assert "run the command in a checkout, or name one with --source" in " ".join(done.stderr.split())
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


@pytest.mark.parametrize(
    ("names", "glibc"),
    [
        (["a-1-py3-none-any.whl"], ""),
        (["a-1-cp311-cp311-manylinux_2_28_x86_64.whl", "b-1-py3-none-any.whl"], "2.28"),
        (["a-1-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"], "2.17"),
        (["a-1-cp311-abi3-manylinux_2_28_x86_64.manylinux_2_34_x86_64.whl"], "2.28"),
        (["a-1-cp311-cp311-manylinux2014_x86_64.whl", "b-1-cp311-cp311-manylinux_2_5_x86_64.whl"], "2.17"),
        (["a-1-cp311-cp311-linux_x86_64.whl"], ""),
    ],
)
def test_the_oldest_c_library_follows_from_the_names_of_the_wheels(names: list[str], glibc: str) -> None:
    assert needed_glibc(names) == glibc


@pytest.mark.slow
def test_the_real_packages_install_on_a_host_without_a_network(tmp_path: Path, host: Installation) -> None:
    """From this repository with its pins, through the package index that pip is set to, if there is one."""
    pin = next(line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("click=="))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries", "0", "--timeout", "5"]
    reachable = subprocess.run(
        [*pip, "download", "--no-deps", "--quiet", "--dest", tmp_path / "probe", pin],
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    if reachable.returncode:
        pytest.skip("no package index can be reached")
    made = made_of(pack_offline(tmp_path / "wheelhouse", ROOT, os.environ, "--json"))
    assert int(str(made["wheels"])) > 20
    without_network = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if os.geteuid() or shutil.which("ip") is None or subprocess.run([*without_network, "true"], check=False).returncode:
        without_network = []
    done = subprocess.run(
        [*without_network, "bash", tmp_path / "wheelhouse/scripts/install_linux.sh", "--service", "--offline",
         tmp_path / "wheelhouse", "--prefix", host.prefix],
        env={"PATH": os.environ["PATH"], "PYTHON": sys.executable}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert str(made["fingerprint"]) in done.stderr
    assert "ready, no models yet" in done.stderr
    host.add_model()
    with host.started_as_the_unit_says(tmp_path) as server:
        assert server.wait_for_status(200).json["models"][0]["name"] == "colours"


@pytest.mark.slow
def test_with_the_studio_its_pages_are_built_first_and_without_it_nobody_needs_them(
    source: Path, index: Path, tmp_path: Path
) -> None:
    script, environment = source / "scripts/build_web.sh", index_environment(index)
    script.write_text("#!/bin/sh\necho no npm on this machine >&2\nexit 3\n")
    made_of(pack_offline(tmp_path / "server", source, environment, "--json"))
    refused = pack_offline(tmp_path / "studio", source, environment, "--extras", "server,studio")
    assert refused.returncode == 1
    assert "no npm on this machine" in refused.stderr
    script.write_text('#!/bin/sh\n"$PYTHON" -c \'import studio\' && touch "${0%/*}/pages"\n')
    backend = (source / "backend.py").read_text()
    (source / "backend.py").write_text(f"{backend}\nimport pathlib\nassert pathlib.Path('scripts/pages').exists()\n")
    made = made_of(pack_offline(tmp_path / "studio", source, environment, "--extras", "server,studio", "--json"))
    assert made["extras"] == ["server", "studio"]
