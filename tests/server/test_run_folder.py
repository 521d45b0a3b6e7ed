"""The folder of a running server, and how servers of one home count each other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from server.hosting.run_folder import RunFolder

HOLD = """
import sys
from pathlib import Path
from server.hosting.run_folder import RunFolder
folder = RunFolder(Path(sys.argv[1]))
print(folder.rank, flush=True)
sys.stdin.read(1)
print(folder.rank, flush=True)
"""


class Other:
    """A server in another process; rank: at its start."""

    def __init__(self, home: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, home], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.rank = int(self.process.stdout.readline())

    def rank_at_the_end(self) -> int:
        return int(self.process.communicate("x")[0])

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def test_servers_of_one_home_know_which_of_them_came_first_and_a_dead_one_is_not_counted(tmp_path: Path) -> None:
    first, second = Other(tmp_path), Other(tmp_path)
    own = RunFolder(tmp_path)
    assert (first.rank, second.rank, own.rank) == (1, 2, 3)
    first.kill()
    assert own.rank == 2
    assert second.rank_at_the_end() == 1
    assert own.rank == 1
    own.remove()


def test_servers_whose_home_cannot_be_written_count_themselves_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").write_text("not a folder")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    folders = [RunFolder(tmp_path) for _ in range(2)]
    assert [folder.rank for folder in folders] == [1, 1]
    for folder in folders:
        assert folder.path.parent == tmp_path
        folder.remove()
