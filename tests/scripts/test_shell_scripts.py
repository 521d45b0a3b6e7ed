"""Every shell script of the repository is clean."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from local_wheelhouse import ROOT

SCRIPTS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "scripts").glob("*.sh"))


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("script", SCRIPTS)
def test_shellcheck_finds_nothing(script: str) -> None:
    """With the parts that a script reads, of which none may be left out."""
    found = subprocess.run(
        ["shellcheck", "-x", "-a", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert found.returncode == 0, found.stdout


def test_settings_are_read_as_systemd_reads_them(tmp_path: Path) -> None:
    lines = [
        "# a comment",
        ";X=1",
        "A=8000 ",
        ' B = "1.2.3.4"\t',
        "C=",
        "D='x y'",
        'E="z',
        "F=a=b c",
        "A= 9000\r",
        "G=g",
    ]
    (tmp_path / "onsight.env").write_text("\n".join(lines))
    script = "set -euo pipefail; etc=$1; . scripts/install/layout.sh; read_settings; echo; setting A 1; setting C 2"
    read = subprocess.run(["bash", "-c", script, "", tmp_path], cwd=ROOT, capture_output=True, check=True)
    assert read.stdout.decode().split("\n") == [
        "A=8000", "B=1.2.3.4", "C=", "D=x y", 'E="z', "F=a=b c", "A=9000", "G=g", "9000", "2", ""
    ]  # fmt: skip


def test_the_installer_reads_every_part() -> None:
    installer = (ROOT / "scripts/install_linux.sh").read_text()
    for part in (ROOT / "scripts/install").glob("*.sh"):
        assert f"\n. scripts/install/{part.name}\n" in installer
