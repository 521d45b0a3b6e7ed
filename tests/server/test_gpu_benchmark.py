"""The benchmark of GPUs, as far as it runs without one: the way through an engine process, and its refusal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from running_server import ROOT, Install


def measure(install: Install, *arguments: str) -> subprocess.CompletedProcess[str]:
    bundle = install.add_bundle()
    command = [sys.executable, "-m", "benchmarks.gpu.serving", str(bundle), "--home", str(install.home.path)]
    return subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_it_measures_the_way_through_an_engine_process(install: Install) -> None:
    done = measure(install, "--provider", "cpu", "--seconds", "0.2", "--processes", "2", "--threads", "2")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)["cpu"]
    assert figures["first_start"]["device"] == "CPU"
    assert max(figures["largest_difference"].values()) < 1e-6
    assert set(figures["one_image_ms"]) == {"in_process", "engine_process", "difference"}
    assert all(figures["engine_process"][lanes]["images_per_s"] > 0 for lanes in ("1_lanes", "2_lanes"))


def test_without_a_gpu_it_says_so_and_ends_with_2(install: Install) -> None:
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine has an NVIDIA driver")
    done = measure(install)
    assert done.returncode == 2
    assert "expected an NVIDIA GPU, found no NVIDIA driver" in done.stderr
