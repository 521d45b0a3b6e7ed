"""What the installer refuses before it changes anything."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from installation import Installation
from local_wheelhouse import ROOT, set_fact

SCRIPT = ROOT / "scripts/install_linux.sh"
OTHER_PYTHON = "3.99"


def flip_a_byte(wheelhouse: Path) -> None:
    wheel = next(wheelhouse.glob("wheels/onsight-*.whl"))
    data = bytearray(wheel.read_bytes())
    data[len(data) // 2] ^= 1
    wheel.write_bytes(data)


def lose_a_wheel(wheelhouse: Path) -> None:
    next(wheelhouse.glob("wheels/what_*.whl")).unlink()


def add_a_wheel(wheelhouse: Path) -> None:
    (wheelhouse / "wheels/click-99.0-py3-none-any.whl").write_bytes(b"not from us")


def change_the_installer(wheelhouse: Path) -> None:
    with (wheelhouse / "scripts/install/release.sh").open("a") as file:
        file.write("echo pwned\n")


MISTAKES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a flipped byte in a wheel": (flip_a_byte, "these files differ from SHA256SUMS: wheels/onsight-0.1.0-"),
    "a wheel is missing": (lose_a_wheel, "these files differ from SHA256SUMS: wheels/what_the_tests_run_with-1"),
    "a wheel that nobody listed": (add_a_wheel, "expected only files that SHA256SUMS lists"),
    "a changed installer": (change_the_installer, "these files differ from SHA256SUMS: scripts/install/release.sh"),
    "an unfinished wheelhouse": (lambda folder: (folder / "SHA256SUMS").unlink(), "with SHA256SUMS, found none"),
    "another Python": (lambda folder: set_fact(folder, "PYTHON", OTHER_PYTHON), f"packages for Python {OTHER_PYTHON}"),
    "another machine": (lambda folder: set_fact(folder, "MACHINE", "sparc"), f"this machine is {platform.machine()}"),
    "a newer C library": (lambda folder: set_fact(folder, "GLIBC", "9.9"), "needs glibc 9.9 or newer"),
    "other extras": (lambda folder: set_fact(folder, "EXTRAS", "gpu,train"), "holds gpu,train, wanted is server"),
    "words for the shell": (lambda folder: set_fact(folder, "VERSION", "$(id)"), "more than letters and digits"),
}


@pytest.mark.parametrize(("change", "says"), MISTAKES.values(), ids=MISTAKES)
def test_a_wheelhouse_that_is_not_as_it_was_packed_is_refused(
    host: Installation, wheelhouse: Path, tmp_path: Path, change: Callable[[Path], object], says: str
) -> None:
    copy = tmp_path / "copied"
    shutil.copytree(wheelhouse, copy)
    change(copy)
    said = host.install(copy, "--cpu", code=1)
    assert said.splitlines()[-1].startswith("error: ")
    assert says in said
    assert "pwned" not in said
    assert not host.prefix.exists()


@pytest.mark.parametrize(
    "options",
    [
        ["--nonsense"],
        ["--purge"],
        ["--offline"],
        ["--prefix", "/nowhere"],
        ["--service", "--demo"],
        ["--demo", "--server-only"],
        ["--service", "--ready-timeout", "soon"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2_and_the_usage(options: list[str], tmp_path: Path) -> None:
    done = subprocess.run(["bash", SCRIPT, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "usage: scripts/install_linux.sh" in done.stderr


def test_without_root_a_system_installation_is_refused() -> None:
    parts = [(ROOT / "scripts/install" / name).read_text() for name in ("messages.sh", "layout.sh")]
    nobody = ["setpriv", "--reuid", "65534", "--clear-groups", "--"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*nobody, "bash", "-s"], input="\n".join([*parts, "prefix=", "need_root"]),
        cwd="/", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "a system installation needs root" in done.stderr
