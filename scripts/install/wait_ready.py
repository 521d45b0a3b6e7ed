"""Wait until a server on this machine is ready: wait_ready.py URL SECONDS [PID].

`wait_ready.py port` prints a free port instead. Exit 0 and one line on stdout when the server is ready, or serves an
empty models folder; else 1 and the reason on stdout. With PID it ends early when that process does. Standard library
alone, since it also judges an installation that is broken.
"""

# ruff: noqa: T201 - the shell reads what it prints

import http.client
import json
import socket
import ssl
import sys
import time
import urllib.parse
from pathlib import Path
from typing import Any

POLL_S = 0.2
ANSWER_WITHIN_S = 5


def main(arguments: list[str]) -> int:
    if arguments == ["port"]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            print(probe.getsockname()[1])
        return 0
    url, seconds = arguments[0], float(arguments[1])
    pid = int(arguments[2]) if len(arguments) > 2 else None
    last = "no answer"
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            last = ask(url)
        except (OSError, http.client.HTTPException, ValueError) as error:
            last = f"no answer: {error}"
        if last.startswith("ready"):
            print(last)
            return 0
        if last.startswith("refused") or not is_running(pid):
            break
        time.sleep(POLL_S)
    print(last if is_running(pid) else "the server ended by itself")
    return 1


def ask(url: str) -> str:
    """One look at /health/ready: "ready ...", "refused ..." (waiting would not help), or something to wait for."""
    parts = urllib.parse.urlsplit(url)
    assert parts.hostname is not None
    connection: http.client.HTTPConnection
    if parts.scheme == "https":  # whose certificate it is does not matter here: only whether it serves
        unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        unverified.check_hostname = False
        unverified.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=ANSWER_WITHIN_S, context=unverified
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=ANSWER_WITHIN_S)
    try:
        connection.request("GET", "/health/ready")
        response = connection.getresponse()
        document: dict[str, Any] = json.loads(response.read())
    finally:
        connection.close()
    models, failed = document.get("models", []), document.get("failed", [])
    reasons = ", ".join(sorted({str(failure.get("code")) for failure in failed}))
    if response.status == 200:
        return f"ready, models: {len(models)}" + (f", bundles refused: {len(failed)} ({reasons})" if failed else "")
    if document.get("status") == "no_models":
        return f"refused every bundle: {reasons}" if failed else "ready, no models yet"
    return f"not ready: {document.get('status')}"


def is_running(pid: int | None) -> bool:
    """Whether the process is there and not a zombie; true where none was named."""
    if pid is None:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
