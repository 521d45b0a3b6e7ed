"""What `train` left -> the folder that is embedded: configuration, float16 weights, input size, licence.

The model card (README.md) is written by hand, and stays.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

LIMIT_BYTES = 12_000_000
LICENCE = Path(__file__).parents[2] / "LICENSE"
KEPT = ("config.json", "model.safetensors", "preprocessor_config.json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", type=Path, metavar="RUN/network")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--edge", type=int, metavar="PIXELS", help="of its input  [default: as it was trained]")


def run(arguments: argparse.Namespace) -> None:
    from trainer.backbone import load_encoder, read_backbone_spec

    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        shutil.copyfile(arguments.network / name, arguments.out / name)
    processor_path = arguments.out / "preprocessor_config.json"
    processor = json.loads(processor_path.read_text())
    if arguments.edge is not None:
        processor["size"] = {"height": arguments.edge, "width": arguments.edge}
    processor_path.write_text(json.dumps(processor, indent=1) + "\n")
    shutil.copyfile(LICENCE, arguments.out / LICENCE.name)
    size = (arguments.out / "model.safetensors").stat().st_size
    if size > LIMIT_BYTES:
        raise SystemExit(f"model.safetensors: expected at most {LIMIT_BYTES:,} bytes, found {size:,}")
    spec = read_backbone_spec(arguments.out)
    count = load_encoder(spec).feature_count()
    print(
        f"{arguments.out}: {size / 1e6:.1f} MB, {spec.width}x{spec.height} pixels -> {count:,} features, {spec.sha256}"
    )
