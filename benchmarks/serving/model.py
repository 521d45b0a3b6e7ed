"""The model that every contender serves: one bundle, made by the product's own commands, and the ONNX file out of it.

By default a MobileNetV2 (224 pixels) with a head trained on TrashNet, in full precision and as int8, kept in the cache
folder for the next time; for a smoke run a tiny one on synthetic images.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.shared_data import MOBILENET, require_data, unpack_trashnet
from bundle.home import OnsightHome
from bundle.load import load_bundle
from bundle.manifest import Manifest
from bundle.trust import TrustStore

COLOURS = ((200, 40, 40), (40, 200, 40), (40, 40, 200))


@dataclass(frozen=True)
class BenchModel:
    """home: an install that trusts the bundle's maker.  onnx: the bundle's fp32 graph as a file of its own."""

    bundle: Path
    home: Path
    onnx: Path
    manifest: Manifest

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the input, pixels."""
        return self.manifest.preprocessing.height, self.manifest.preprocessing.width

    def precisions(self) -> set[str]:
        return {str(variant.precision) for variant in self.manifest.variants if variant.may_serve}


def open_model(bundle: Path, home: Path, work: Path) -> BenchModel:
    """A bundle that `home` trusts; its graph is written into `work`."""
    loaded = load_bundle(bundle, TrustStore(OnsightHome(home).trust_dir))
    variant = next(variant for variant in loaded.manifest.variants if variant.precision == "fp32")
    onnx = work / "model.onnx"
    onnx.write_bytes(loaded.files[variant.file])
    return BenchModel(bundle, home, onnx, loaded.manifest)


def train_on_trashnet(cache: Path, work: Path) -> tuple[Path, Path]:
    """The bundle and the home it was made in; made once, two minutes or so, then found in `cache`."""
    bundle, home = cache / "model" / "trash.onsight", cache / "home"
    if not bundle.is_file():
        require_data()
        bundle.parent.mkdir(parents=True, exist_ok=True)
        images = unpack_trashnet(work)
        _onsight(home, "train", images, "--out", work / "run", "--backbone", MOBILENET, "--overwrite")
        _onsight(home, "export", work / "run", "--out", bundle, "--variants", "fp32,int8")
    return bundle, home


def train_tiny(work: Path) -> tuple[Path, Path]:
    """A network of a few thousand weights on 32-pixel images of three colours."""
    draw = np.random.default_rng(0)
    for number, colour in enumerate(COLOURS):
        folder = work / "colours" / f"colour {number}"
        folder.mkdir(parents=True)
        for place in range(12):
            noise = draw.integers(-40, 40, (32, 32, 3))
            Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8)).save(folder / f"{place}.png")
    bundle, home = work / "tiny.onsight", work / "home"
    options = ("--size", "32", "--epochs", "2", "--hidden-units", "8")
    _onsight(home, "train", work / "colours", "--out", work / "run", *options)
    _onsight(home, "export", work / "run", "--out", bundle)
    return bundle, home


def clean_environment(home: Path) -> dict[str, str]:
    """This process's environment without settings of Onsight, but with an install of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ONSIGHT_")}
    return {**clean, "ONSIGHT_HOME": str(home)}


def _onsight(home: Path, *arguments: str | Path) -> None:
    command = [sys.executable, "-m", "onsight.cli", *map(str, arguments)]
    done = subprocess.run(command, env=clean_environment(home), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"onsight {arguments[0]}: expected it to end well, found {done.stderr[-2000:]}")
