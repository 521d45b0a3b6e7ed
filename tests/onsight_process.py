"""Run `onsight` as a real process: what it prints where, and its exit code.

Importing torch takes seconds, so one process imports everything once and forks a child for each command. A child is
the real command line: its own streams, environment, working directory and exit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FORKING = """
import json, os, signal, sys, traceback
import scipy.optimize, sklearn.metrics, torch, onnxruntime, flask, jinja2
import trainer.train, trainer.evaluate, exporter.export, server.models.registry, onsight.summary
from onsight.cli import main

print("ready", flush=True)
for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if not child:
        for number, (path, flags) in enumerate(job["streams"]):
            os.dup2(os.open(path, flags, 0o600), number)
        os.chdir(job["cwd"])
        os.environ.clear()
        os.environ.update(job["environment"])
        sys.argv = ["onsight", *job["arguments"]]
        signal.alarm(300)  # a command that hangs ends here, with a code that no test expects
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # what waits at a usual end are threads that a fork leaves behind
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


@dataclass(frozen=True)
class Finished:
    """What a command left: its exit code, and what it printed."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def error(self) -> str:
        """The message of a command that failed as it should: nothing on stdout, no traceback."""
        assert self.code in (1, 2), f"exit code {self.code}: {self.stderr}"
        assert "Traceback" not in self.stderr, self.stderr
        assert self.stdout == "", self.stdout
        message = self.stderr.strip().splitlines()[-1]
        assert message.startswith("Error: "), self.stderr
        return message.removeprefix("Error: ")


Onsight = Callable[..., Finished]  # onsight("train", images, "--out", "run")


class OnsightProcesses:
    """Starts commands for as long as it is open."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", FORKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._replies = self._process.stdin, self._process.stdout
        self._is_ready = False

    def run(self, arguments: list[str], cwd: Path, home: Path, environment: dict[str, str] | None = None) -> Finished:
        """`onsight ARGUMENTS` in the folder cwd, with the install in `home`."""
        if not self._is_ready:
            assert self._replies.readline() == "ready\n"
            self._is_ready = True
        stdout, stderr = home.with_name("stdout.txt"), home.with_name("stderr.txt")
        job = {
            "arguments": arguments,
            "cwd": str(cwd),
            "environment": command_environment(home, environment),
            "streams": [(os.devnull, os.O_RDONLY), (str(stdout), WRITE), (str(stderr), WRITE)],
        }
        self._requests.write(json.dumps(job) + "\n")
        self._requests.flush()
        code = int(self._replies.readline())
        return Finished(code, stdout.read_text(encoding="utf-8"), stderr.read_text(encoding="utf-8"))

    def close(self) -> None:
        self._requests.close()
        self._process.wait(30)
        self._replies.close()


def command_environment(home: Path, more: dict[str, str] | None = None) -> dict[str, str]:
    """This environment without settings of ours, but with an install of its own.

    Also without what the trainer sets in its process, which is that of the tests too.
    """
    ours = ("ONSIGHT_", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**clean, "ONSIGHT_HOME": str(home), "COLUMNS": "100", **(more or {})}
