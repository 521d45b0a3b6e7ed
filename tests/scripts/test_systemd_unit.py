"""The systemd unit: valid, well fenced in, and fenced so that the server still works."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from installation import RED, Installation, RunningServer, free_port
from local_wheelhouse import ROOT

from server.settings import ServerSettings

UNIT = ROOT / "scripts/systemd/onsight.service"
GPU_DROP_IN = ROOT / "scripts/systemd/onsight-gpu.conf"
STUDIO_UNIT = ROOT / "scripts/systemd/onsight-studio.service"
EXPOSURE_BOUND = 15  # systemd-analyze's tenths: 1.5 of 10; a unit without any fence has 9.6
EXPOSURE_BOUND_GPU = 20
EXPOSURE_BOUND_STUDIO = 22

analyzer = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def values(unit: str, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", unit, re.MULTILINE)


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )


@analyzer
@pytest.mark.parametrize("gpu", [False, True], ids=["cpu", "gpu"])
def test_systemd_accepts_the_unit_and_finds_it_well_fenced_in(tmp_path: Path, gpu: bool) -> None:
    unit = tmp_path / "onsight.service"
    unit.write_text(UNIT.read_text().replace("/opt/onsight/current/venv/bin/onsight", "/bin/true"))
    if gpu:
        (tmp_path / "onsight.service.d").mkdir()
        shutil.copy(GPU_DROP_IN, tmp_path / "onsight.service.d")
    verified = analyze("verify", unit)
    assert (verified.returncode, verified.stderr) == (0, "")
    bound = EXPOSURE_BOUND_GPU if gpu else EXPOSURE_BOUND
    found = analyze("security", "--offline=true", f"--threshold={bound}", unit)
    assert found.returncode == 0, found.stdout.splitlines()[-1]
    assert "exposure level for onsight.service" in found.stdout


@analyzer
def test_systemd_accepts_the_unit_of_the_studio_too(tmp_path: Path) -> None:
    """It trains, on a GPU where there is one, so that its fences are wider."""
    unit = tmp_path / STUDIO_UNIT.name
    unit.write_text(STUDIO_UNIT.read_text().replace("/opt/onsight-studio/bin/onsight", "/bin/true"))
    verified = analyze("verify", unit)
    assert (verified.returncode, verified.stderr) == (0, "")
    found = analyze("security", "--offline=true", f"--threshold={EXPOSURE_BOUND_STUDIO}", unit)
    assert found.returncode == 0, found.stdout.splitlines()[-1]


@analyzer
def test_a_unit_without_fences_would_not_pass(tmp_path: Path) -> None:
    unit = tmp_path / "onsight.service"
    unit.write_text("[Service]\nExecStart=/bin/true\nUser=onsight\nNonsense=1\n")
    assert "Nonsense" in analyze("verify", unit).stderr
    assert analyze("security", "--offline=true", f"--threshold={EXPOSURE_BOUND_GPU}", unit).returncode != 0


def test_the_service_gets_time_to_finish_what_it_has_begun() -> None:
    unit = UNIT.read_text()
    fields = ServerSettings.model_fields
    needed_s = fields["drain_s"].default + fields["graceful_timeout_s"].default
    assert float(values(unit, "TimeoutStopSec")[0]) > needed_s
    assert values(unit, "KillMode") == ["mixed"], "SIGTERM for the parent alone: it tells its workers when to end"


def refused_calls(unit: str) -> set[str]:
    """The system calls that the filter takes out of what @system-service allows."""

    def members(name: str) -> set[str]:
        found: set[str] = set()
        for line in analyze("syscall-filter", name).stdout.splitlines()[1:]:
            call = line.strip()
            if call and not call.startswith("#"):
                found |= members(call) if call.startswith("@") else {call}
        return found

    allowed: set[str] = set()
    refused: set[str] = set()
    for value in values(unit, "SystemCallFilter"):
        for name in value.removeprefix("~").split():
            (refused if value.startswith("~") else allowed).update(members(name))
    return allowed & refused


@analyzer
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_server_works_with_the_system_calls_that_the_unit_leaves_it(host: Installation, tmp_path: Path) -> None:
    """Under strace, which refuses what the unit's filter refuses, and shows any call beyond @system-service."""
    (host.state / "models").mkdir(parents=True)
    token = host.add_model()
    refused = refused_calls(UNIT.read_text())
    assert {"fchown", "mbind", "setpriority"} <= refused
    port, trace, log = free_port(), tmp_path / "trace", tmp_path / "log"
    known = subprocess.run(["strace", "-e", "trace=" + ",".join(f"?{c}" for c in sorted(refused)), "true"], check=False)
    if known.returncode:
        pytest.skip("this strace cannot trace here")
    calls = ",".join(f"?{call}" for call in sorted(refused))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ONSIGHT_")}
    with log.open("wb") as file:
        process = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", trace, "-e", f"trace={calls},mmap,mprotect,socket", "-e",
             f"inject={calls}:error=EPERM", sys.executable, "-m", "onsight.cli", "serve"],
            cwd=ROOT, stdout=file, stderr=subprocess.STDOUT,
            env={**clean, "ONSIGHT_HOME": str(host.state / "home"), "ONSIGHT_MODELS_DIR": str(host.state / "models"),
                 "ONSIGHT_PORT": str(port), "ONSIGHT_WORKERS": "2", "ONSIGHT_DRAIN_S": "0"},
        )  # fmt: skip
    try:
        server = RunningServer(port, process, log)
        server.wait_for_status(200, 60)
        reply = server.ask("POST", "/api/predict/default/colours", RED, token)
        assert reply.status == 200, reply.body
        seen = trace.read_text()
        parent = int(seen.split(maxsplit=1)[0])
        os.kill(parent, signal.SIGHUP)
        time.sleep(0.5)
        server.wait_for_status(200)
        os.kill(parent, signal.SIGTERM)
        assert process.wait(90) == 0, server.log
    finally:
        process.kill()
        process.wait()
    seen = trace.read_text()
    assert "mmap(" in seen
    assert not re.search(r"PROT_WRITE\|PROT_EXEC|mprotect\([^)\n]*PROT_EXEC", seen), "MemoryDenyWriteExecute refuses it"
    families = set(re.findall(r"socket\((AF_\w+)", seen))
    assert "AF_INET" in families
    assert families <= set(values(UNIT.read_text(), "RestrictAddressFamilies")[0].split())
    assert json.loads(reply.body)[0]["label"] == "red"
