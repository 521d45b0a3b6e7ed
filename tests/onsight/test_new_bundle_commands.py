"""What the commands that write a bundle share: names of variants, and what they say to do next."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from onsight_process import Onsight
from tiny_runs import TinyRun


@pytest.mark.parametrize("variants", ["int4", "fp32,int4", ""])
def test_a_variant_that_is_not_known_is_wrong_usage(variants: str, onsight: Onsight, tmp_path: Path) -> None:
    found = onsight("export", tmp_path, "--out", "new.onsight", "--variants", variants)
    assert found.code == 2
    assert "--variants: expected any of fp32, fp16, int8, int8-tensorrt, or one of cpu, gpu, all; found" in found.error


def test_names_of_variants_are_checked_without_torch() -> None:
    check = (
        "import sys; from exporter.variants.names import check_variants; assert not {'torch', 'onnx'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


@pytest.mark.slow
def test_a_variant_alone_brings_full_precision_with_it(onsight: Onsight, single_run: TinyRun) -> None:
    done = onsight("export", single_run.folder, "--out", "b.onsight", "--variants", "fp16", "--json")
    assert done.code == 0, done.stderr
    assert next(iter(done.json["variants"])) == "fp32"
