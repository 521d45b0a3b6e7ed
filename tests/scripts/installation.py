"""A system installation below a folder: the real installer, and the server that its unit starts."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local_wheelhouse import ROOT

sys.path.append(str(ROOT / "tests" / "server"))
from color_bundle import RED
from running_server import Install, RunningServer, free_port

from bundle.home import OnsightHome
from bundle.keys import SigningKey
from bundle.trust import TrustStore

__all__ = ["RED", "Installation", "RunningServer", "free_port"]


@dataclass(frozen=True)
class Installation:
    """prefix: where everything lies."""

    prefix: Path

    @property
    def app(self) -> Path:
        return self.prefix / "opt/onsight"

    @property
    def state(self) -> Path:
        return self.prefix / "var/lib/onsight"

    @property
    def settings(self) -> Path:
        return self.prefix / "etc/onsight/onsight.env"

    @property
    def unit(self) -> Path:
        return self.prefix / "etc/systemd/system/onsight.service"

    @property
    def current(self) -> str:
        return (self.app / "current").readlink().name

    @property
    def previous(self) -> str:
        return (self.app / "previous").readlink().name

    @property
    def releases(self) -> set[str]:
        return {path.name for path in (self.app / "releases").iterdir()}

    def start(self, *options: object, scripts: Path = ROOT / "scripts", **environment: str) -> subprocess.Popen[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "ONSIGHT_"))}
        return subprocess.Popen(
            ["bash", scripts / "install_linux.sh", *map(str, options), "--prefix", self.prefix],
            env={**clean, "PYTHON": sys.executable, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *options: object, code: int = 0, **environment: str) -> str:
        """The installer with these options; must end with `code`. Returns what it said."""
        process = self.start(*options, **environment)
        stdout, stderr = process.communicate(timeout=240)
        assert process.returncode == code, stderr
        return stdout + stderr

    def install(self, wheelhouse: Path, *options: object, code: int = 0, **environment: str) -> str:
        return self.run("--service", "--offline", wheelhouse, *options, code=code, **environment)

    def set(self, **settings: object) -> None:
        """Write settings into onsight.env as an operator would."""
        lines = "".join(f"ONSIGHT_{name.upper()}={value}\n" for name, value in settings.items())
        self.settings.write_text(self.settings.read_text() + lines)

    def add_model(self, name: str = "colours") -> str:
        """Put a bundle there that it trusts. Returns a token."""
        install = Install(OnsightHome(self.state / "home"), self.state / "models", SigningKey.generate())
        TrustStore(install.home.trust_dir).add(install.key.public_key, name)
        install.add_bundle(f"{name}.onsight", name=name)
        return install.add_token(name)

    def unit_value(self, name: str) -> str:
        found = re.findall(rf"^{name}=(.*)$", self.unit.read_text(), re.MULTILINE)
        assert len(found) == 1, found
        return str(found[0])

    @contextmanager
    def started_as_the_unit_says(self, folder: Path) -> Iterator[RunningServer]:
        """The ExecStart of the unit, with its environment file, on a free port, and ended as systemd ends it."""
        port = free_port()
        self.set(port=port, workers=1, drain_s=0)
        log = folder / "service.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                shlex.split(self.unit_value("ExecStart")),
                env=unit_environment(Path(self.unit_value("EnvironmentFile"))),
                cwd=self.unit_value("WorkingDirectory"),
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        server = RunningServer(port, process, log)
        try:
            server.wait_for_status(200)
            yield server
            process.send_signal(getattr(signal, self.unit_value("KillSignal")))
            assert process.wait(int(self.unit_value("TimeoutStopSec"))) == 0, server.log
        finally:
            process.kill()
            process.wait()


def unit_environment(file: Path) -> dict[str, str]:
    lines = [line for line in file.read_text().splitlines() if line and line[0] != "#"]
    return {"PATH": "/usr/bin:/bin", **dict(line.split("=", 1) for line in lines)}


def control(arguments: list[str], unit: Path, folder: Path) -> int:
    """What `systemctl` would do with the unit; the main process' id is in folder/pid, its log in folder/log."""
    verb = arguments[0]
    pid_file = folder / "pid"
    pid = int(pid_file.read_text()) if pid_file.exists() else 0
    if verb == "is-active":
        return 0 if runs(pid) else 3
    if verb in ("restart", "disable"):
        if runs(pid):
            os.kill(pid, signal.SIGTERM)
        while runs(pid):
            time.sleep(0.05)
        pid_file.unlink(missing_ok=True)
    return start_and_wait(unit, folder) if verb == "restart" else 0


def runs(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return pid > 0 and status.exists() and "\nState:\tZ" not in status.read_text()


def start_and_wait(unit: Path, folder: Path) -> int:
    """Type=notify: 0 once the process has said READY=1, 1 when it ends before."""
    text = unit.read_text()
    start = re.search(r"^ExecStart=(.*)$", text, re.MULTILINE)
    settings = re.search(r"^EnvironmentFile=(.*)$", text, re.MULTILINE)
    assert start is not None
    assert settings is not None
    address = f"\0onsight-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel, (folder / "log").open("ab") as log:
        channel.bind(address)
        channel.settimeout(0.2)
        environment = {**unit_environment(Path(settings[1])), "NOTIFY_SOCKET": "@" + address[1:]}
        process = subprocess.Popen(
            shlex.split(start[1]), env=environment, stdout=log, stderr=log, start_new_session=True
        )
        (folder / "pid").write_text(str(process.pid))
        while process.poll() is None:
            try:
                if channel.recv(4096).startswith(b"READY=1"):
                    return 0
            except TimeoutError:
                continue
    return 1


if __name__ == "__main__":
    sys.exit(control(sys.argv[3:], Path(sys.argv[1]), Path(sys.argv[2])))
