"""The installer of system installations, run for real below a temporary folder."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from installation import Installation, free_port
from local_wheelhouse import changed_wheelhouse

pytestmark = pytest.mark.slow

NEVER_READY = {
    "server/models/registry.py": "Registry.phase = property(lambda self: Phase.LOADING)",
}
DOES_NOT_START = {"onsight/cli.py": "raise RuntimeError('this release does not start')"}
FAILS_IN_SERVICE = {
    "server/hosting/gunicorn_app.py": """
_serve = serve
def serve(settings):
    if settings.workers != 1:  # the test start has one
        raise ConfigurationError("this release works in its test start alone")
    _serve(settings)
"""
}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(scope="module")
def upgraded(wheelhouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Two releases, the second one current, and a model. Tests leave it as it is, and check that."""
    folder = tmp_path_factory.mktemp("upgraded")
    host = Installation(folder / "host")
    host.install(wheelhouse)
    host.add_model()
    host.install(changed_wheelhouse(wheelhouse, folder / "newer", "0.2.0"))
    return host


@pytest.fixture
def untouched(upgraded: Installation) -> Iterator[Installation]:
    before = (upgraded.current, upgraded.previous, upgraded.releases, upgraded.unit.read_text())
    yield upgraded
    assert (upgraded.current, upgraded.previous, upgraded.releases, upgraded.unit.read_text()) == before


def test_an_installation_serves_and_a_second_one_changes_nothing(
    host: Installation, wheelhouse: Path, tmp_path: Path
) -> None:
    said = host.install(wheelhouse)
    assert "ready, no models yet" in said
    assert "systemd does not run here" in said
    assert host.current.startswith("0.1.0-")
    assert mode(host.state / "home") == 0o700
    assert mode(host.state / "models") == 0o2750
    assert mode(host.settings) == 0o640
    token = host.add_model()
    with host.started_as_the_unit_says(tmp_path) as server:
        assert server.ask("GET", "/v1/models", token=token).json["models"][0]["name"] == "colours"
    settings, release = host.settings.read_text(), host.current
    assert "installed already" in host.install(wheelhouse)
    assert (host.settings.read_text(), host.current, host.releases) == (settings, release, {release})
    listed = subprocess.run([host.app / "bin/onsight", "token", "list"], capture_output=True, text=True, check=True)
    assert listed.stdout.startswith("colours ")


def test_an_upgrade_keeps_the_old_release_and_a_roll_back_returns_to_it(
    host: Installation, wheelhouse: Path, tmp_path: Path
) -> None:
    host.install(wheelhouse)
    first = host.current
    older = ["0.0.1-older", "0.0.2-older"]
    for age, name in zip((200, 100), older, strict=True):
        (host.app / "releases" / name).mkdir()
        (host.app / "releases" / name / ".complete").touch()
        os.utime(host.app / "releases" / name / ".complete", (time.time() - age, time.time() - age))
    assert "ready" in host.install(changed_wheelhouse(wheelhouse, tmp_path / "newer", "0.2.0"))
    second = host.current
    assert second.startswith("0.2.0-")
    assert host.previous == first
    assert host.releases == {second, first, older[1]}, "three releases are kept"
    host.run("--rollback")
    assert (host.current, host.previous) == (first, second)
    host.run("--rollback", f"{host.app}/releases/{second}/")  # as a shell completes it
    assert (host.current, host.previous) == (second, first)
    assert "expected one of these releases" in host.run("--rollback", "0.9.9-nothing", code=1)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (NEVER_READY, "did not become ready within 4 s: not ready: loading"),
        (DOES_NOT_START, "this release does not start"),
    ],
    ids=["never ready", "does not start"],
)
def test_a_release_that_does_not_work_is_not_taken(
    untouched: Installation, wheelhouse: Path, tmp_path: Path, changes: dict[str, str], says: str
) -> None:
    bad = changed_wheelhouse(wheelhouse, tmp_path / "bad", "0.9.0", changes)
    said = untouched.install(bad, "--ready-timeout", "4", code=1)
    assert says in said
    assert f"{untouched.current} goes on" in said
    with untouched.started_as_the_unit_says(tmp_path):
        pass


def test_a_release_that_refuses_every_bundle_is_not_taken(
    untouched: Installation, wheelhouse: Path, tmp_path: Path
) -> None:
    trusts_nobody = {
        "bundle/trust.py": "def _get(self, key_id):\n    raise UntrustedKey('nobody')\nTrustStore.get = _get"
    }
    bad = changed_wheelhouse(wheelhouse, tmp_path / "bad", "0.9.0", trusts_nobody)
    assert "refused every bundle" in untouched.install(bad, "--ready-timeout", "20", code=1)


def test_an_interrupted_upgrade_leaves_the_old_release_and_is_cleaned_up(
    upgraded: Installation, wheelhouse: Path, tmp_path: Path
) -> None:
    before, kept = upgraded.current, upgraded.releases
    newer = changed_wheelhouse(wheelhouse, tmp_path / "newer", "0.5.0")
    process = upgraded.start("--service", "--offline", newer)
    end = time.monotonic() + 60
    while not (half_made := list(upgraded.app.glob("releases/0.5.0-*/venv/bin/python"))):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert upgraded.current == before
    assert half_made[0].exists()
    with upgraded.started_as_the_unit_says(tmp_path):
        pass
    bad = changed_wheelhouse(wheelhouse, tmp_path / "bad", "0.9.0", DOES_NOT_START)
    assert "which an interrupted installation left" in upgraded.install(bad, code=1)
    assert upgraded.releases == kept


def test_a_second_installer_at_the_same_time_is_refused(untouched: Installation, wheelhouse: Path) -> None:
    command = ["flock", untouched.app / ".lock", "sh", "-c", "echo locked; exec sleep 600"]
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"locked\n"
            assert "another installation into" in untouched.install(wheelhouse, code=1)
        finally:
            os.killpg(holder.pid, signal.SIGKILL)


def test_a_service_that_fails_after_the_flip_goes_back_by_itself(
    host: Installation, wheelhouse: Path, tmp_path: Path
) -> None:
    systemctl = tmp_path / "systemctl"
    script = Path(__file__).with_name("installation.py")
    systemctl.write_text(f'#!/bin/sh\nexec {sys.executable} {script} {host.unit} {tmp_path} "$@"\n')
    systemctl.chmod(0o755)
    live = {"ONSIGHT_SYSTEMCTL": str(systemctl)}
    host.install(wheelhouse)
    port = free_port()
    host.set(port=port, workers=2, drain_s=0)
    host.add_model()
    try:
        assert "the service is ready, models: 1" in host.install(wheelhouse, **live)
        old = host.current
        bad = changed_wheelhouse(wheelhouse, tmp_path / "bad", "0.9.0", FAILS_IN_SERVICE)
        said = host.install(bad, "--ready-timeout", "20", code=1, **live)
        assert "it did not start" in said
        assert f"did not become ready: the service runs {old} again" in said
        assert host.releases == {old}
        pid = int((tmp_path / "pid").read_text())
        assert f"/{old}/venv/bin/" in Path(f"/proc/{pid}/cmdline").read_text()
        good = changed_wheelhouse(wheelhouse, tmp_path / "good", "0.3.0")
        assert "the service is ready, models: 1" in host.install(good, **live)
        # A release that served once stays one to go back to, also where it fails when it is taken again.
        host.set(workers=1)
        assert "the service is ready, models: 1" in host.install(bad, **live)
        host.run("--rollback", **live)
        once, newer = host.previous, host.current
        host.set(workers=2)
        assert f"the service runs {newer} again" in host.install(bad, "--ready-timeout", "20", code=1, **live)
        assert (host.current, host.previous, host.releases) == (newer, once, {old, newer, once})
    finally:
        assert "Removed." in host.run("--uninstall", **live)
    assert not (tmp_path / "pid").exists()


def test_uninstalling_keeps_settings_keys_and_models_until_it_is_told_to_purge(
    host: Installation, wheelhouse: Path
) -> None:
    host.install(wheelhouse, "--gpu", code=1)  # the wheelhouse holds no gpu: nothing is made
    assert not host.prefix.exists()
    host.install(wheelhouse)
    host.add_model()
    settings = host.settings.read_text()
    assert "--uninstall --purge removes them" in host.run("--uninstall")
    assert not host.app.exists()
    assert not host.unit.exists()
    assert (host.state / "models/colours.onsight").exists()
    assert host.settings.read_text() == settings
    assert "expected an installation" in host.run("--uninstall", code=1)
    host.run("--uninstall", "--purge")
    assert not host.settings.exists()
    assert not host.state.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may install for another user")
def test_the_service_has_a_user_of_its_own_who_may_write_into_the_home_alone(wheelhouse: Path) -> None:
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)  # unlike pytest's folders: the other user has to get there
    readable = {"PYTHON": shutil.which("python3", path="/usr/bin") or ""}
    host = Installation(folder / "host")
    try:
        version = subprocess.run([readable["PYTHON"], "-c", "import sys, ensurepip; print(sys.version_info[:2])"],
                                 capture_output=True, text=True, check=False)  # fmt: skip
        if version.stdout.strip() != str(sys.version_info[:2]):
            pytest.skip("the system has no Python of this version that another user may run")
        said = host.install(wheelhouse, "--user", "nobody", "--accept-unready", **readable)
        assert "--version failed" not in said
        owners = {path.name: path.owner() for path in host.state.iterdir()}
        assert owners == {"home": "nobody", "models": "root"}
        group = host.settings.group()
        assert host.unit_value("User") == "nobody"
        assert host.unit_value("Group") == group == (host.state / "models").group()
        assert host.app.owner() == (host.app / "current").resolve().owner() == "root"
        subprocess.run([host.app / "bin/onsight", "token", "create", "x"], capture_output=True, check=True)
        assert (host.state / "home/tokens.json").owner() == "nobody"
        assert "installed already" in host.install(wheelhouse, **readable)  # an upgrade need not name the user again
        assert (host.unit_value("User"), (host.state / "home").owner()) == ("nobody", "nobody")
    finally:
        shutil.rmtree(folder)


def test_a_developers_environment_comes_from_a_wheelhouse_too(wheelhouse: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copied"
    shutil.copytree(wheelhouse, copy)
    for _ in range(2):
        done = subprocess.run(
            ["bash", copy / "scripts/install_linux.sh", "--offline", "."],
            cwd=copy,
            env={"PATH": os.environ["PATH"], "PYTHON": sys.executable},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "Installed. Next: .venv/bin/onsight --help\n"
    assert "installing" not in done.stderr
    version = subprocess.run([copy / ".venv/bin/onsight", "--version"], capture_output=True, text=True, check=True)
    assert version.stdout == "onsight, version 0.1.0\n"
