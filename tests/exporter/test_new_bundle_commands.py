"""What the commands that write a bundle share: names of variants, and what they say to do next."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from foreign_models import classifier
from onsight_process import Onsight
from tiny_runs import TinyRun

from bundle.archive import read_archive
from bundle.home import OnsightHome
from exporter.importing.proof_images import generated_files
from licenses.issuer import Issuer


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


@pytest.mark.parametrize("command", ["export", "import"])
def test_an_issuer_is_named_for_a_licence_alone(command: str, onsight: Onsight) -> None:
    found = onsight(command, "model", "--out", "new.onsight", "--issuer", "ISS")
    assert (found.code, found.error) == (2, "--issuer: expected --license-required with it.")


def test_an_imported_bundle_names_the_issuer_whose_licence_it_takes(
    onsight: Onsight, home: OnsightHome, tmp_path: Path
) -> None:
    classifier(tmp_path / "m.onnx")
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    given = ("import", "m.onnx", "--labels", "labels.txt", "--preprocessing", "unit", "--license-required")
    done = onsight(*given, "--out", "m.onsight")
    assert done.code == 0, done.stderr
    issuer = Issuer.load(home.issuer_dir).ring.issuer
    assert f"demands a licence of {issuer}\n" in done.stdout
    assert json.loads(read_archive(tmp_path / "m.onsight")["manifest.json"])["license"] == {"issuer": issuer}
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.png").write_bytes(generated_files(1)[0])
    assert onsight("predict", "m.onsight", "photos").code == 0  # the issuer's own install has a licence for it
    stranger = OnsightHome(tmp_path / "stranger")
    found = onsight(*given, "--out", "n.onsight", "--issuer", issuer, home=stranger)
    assert "expected a licence of issuer" in found.error
    assert not (tmp_path / "n.onsight").exists()
