"""The demonstration, as `make demo` and CI run it."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

import pytest
from onsight_process import command_environment
from onsight_server import SCRIPT

pytestmark = pytest.mark.slow


def test_the_demo_trains_exports_serves_and_answers_rightly_and_can_be_run_again(tmp_path: Path) -> None:
    with socket.socket() as taken:  # a busy port is passed over
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        command = [SCRIPT, "demo", "--once", "--dir", "demo", "--minutes", "0.2", "--port", str(taken.getsockname()[1])]
        for _ in range(2):
            found = subprocess.run(
                command, cwd=tmp_path, env=command_environment(tmp_path / "home"), capture_output=True, text=True
            )
            assert found.returncode == 0, found.stderr
            right, wrong, unknown = map(
                int,
                re.findall(r"^(\d+) of 100 right, (\d+) wrong, (\d+) called unknown$", found.stderr, re.MULTILINE)[0],
            )
            assert right + wrong + unknown == 100
            assert right >= 80
            assert found.stdout.strip().endswith("The server was stopped (--once).")
    assert (tmp_path / "demo" / "models" / "digits.onsight").is_file()
    assert (tmp_path / "demo" / "run" / "report.html").is_file()
    assert not (tmp_path / "home").exists()  # the user's own keys and tokens stay untouched


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    """One with a folder `home` too: the root of a system has one, and `run` beside it."""
    for name in ("home", "run", "images"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.txt").write_text("mine")
    found = subprocess.run(
        [SCRIPT, "demo", "--once", "--dir", tmp_path, "--minutes", "0.01"],
        env=command_environment(tmp_path / "home"), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 2
    assert "expected a new folder or an earlier demo's" in found.stderr
    assert len(list(tmp_path.glob("*/mine.txt"))) == 3
