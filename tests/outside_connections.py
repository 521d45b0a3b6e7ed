"""Run a command in a network namespace with loopback alone, and list every address outside that anything in it tried.

The kernel tells of each attempt (strace), whatever library or process made it.
"""

from __future__ import annotations

import ipaddress
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_ADDRESS = re.compile(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"')
CALLS = "connect,sendto,sendmsg,sendmmsg"


def missing_for_namespaces() -> str | None:
    """Why this machine cannot do it, if it cannot."""
    if shutil.which("strace") is None:
        return "needs strace: scripts/install_test_tools.sh installs Debian's"
    tried = subprocess.run(
        ["unshare", "--net", "sh", "-c", "ip link set lo up && strace -f -qq -o /dev/null true"], capture_output=True
    )
    return None if tried.returncode == 0 else f"needs the right to make a network namespace: {tried.stderr.decode()}"


def run_without_network(
    command: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None, timeout_s: float = 600
) -> tuple[subprocess.CompletedProcess[bytes], set[str]]:
    """The finished command, and the addresses outside loopback that it or a child tried to reach."""
    with tempfile.TemporaryDirectory(prefix="trace-") as folder:
        trace = Path(folder) / "trace"
        done = subprocess.run(
            ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh",
             "strace", "-f", "-qq", "--seccomp-bpf", "-e", f"trace={CALLS}", "-e", "signal=none", "-o", trace,
             *command],
            cwd=cwd, env=env, timeout=timeout_s, capture_output=True,
        )  # fmt: skip
        return done, outside_addresses(trace.read_text(errors="replace"))


def outside_addresses(trace: str) -> set[str]:
    found = {one or other for one, other in _ADDRESS.findall(trace)}
    return {address for address in found if not ipaddress.ip_address(address).is_loopback}
