"""Every shell script of the repository is clean."""

from __future__ import annotations

import shutil
import subprocess

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


def test_the_installer_reads_every_part() -> None:
    installer = (ROOT / "scripts/install_linux.sh").read_text()
    for part in (ROOT / "scripts/install").glob("*.sh"):
        assert f"\n. scripts/install/{part.name}\n" in installer
