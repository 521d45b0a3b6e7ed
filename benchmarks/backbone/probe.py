"""How well frozen features serve photos that the network never saw: the product's own training, on official splits.

Prints figures of validation images, for choosing; figures of test images only with --test, for the record.
"""

from __future__ import annotations

import argparse
import tempfile
import zipfile
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("backbones", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--edges", type=int, nargs="+", metavar="PIXELS", help="input sizes  [default: its own]")
    parser.add_argument("--sets", nargs="+", default=["trashnet"], choices=["trashnet", "digits", "cards"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--random-weights", action="store_true", help="as a floor: its features before any training")
    parser.add_argument("--test", action="store_true", help="figures of the test images")


def run(arguments: argparse.Namespace) -> None:
    from benchmarks.shared_data import require_data
    from trainer.backbone import read_backbone_spec

    require_data()
    split = "test" if arguments.test else "validation"
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        sets = _unpack(arguments.sets, scratch)
        for number, folder in enumerate(arguments.backbones):
            used = _with_random_weights(folder, scratch / f"random-{number}") if arguments.random_weights else folder
            for edge in arguments.edges or [read_backbone_spec(used).height]:
                for title, (images, extra, metric) in sets.items():
                    figures = [
                        _train(images, extra, used, edge, seed, metric, scratch) for seed in range(arguments.seeds)
                    ]
                    found = ", ".join(f"{figure[split]:.3f}" for figure in figures)
                    print(f"{folder}  {edge}  {title}: {split} {metric} {found}", flush=True)


def _unpack(wanted: list[str], scratch: Path) -> dict[str, tuple[Path, dict[str, str], str]]:
    """name -> images, further fields of the recipe, metric."""
    from benchmarks.shared_data import DATASETS, trashnet_list, unpack_cards, unpack_trashnet

    sets: dict[str, tuple[Path, dict[str, str], str]] = {}
    if "trashnet" in wanted:
        lists = {"validation_list": str(trashnet_list("val")), "test_list": str(trashnet_list("test"))}
        sets["trashnet"] = (unpack_trashnet(scratch), lists, "accuracy")
    if "digits" in wanted:
        with zipfile.ZipFile(DATASETS / "sign_digits_64_tiny.zip") as archive:
            archive.extractall(scratch)
        root = scratch / "sign_digits"
        names = sorted(root.glob("*/*.jpg"))
        listed = scratch / "digits_test.txt"
        listed.write_text("".join(f"{path.relative_to(root).as_posix()}\n" for path in names[::5]))
        sets["digits"] = (root, {"test_list": str(listed)}, "accuracy")
    if "cards" in wanted:
        images, labels, test_list = unpack_cards(scratch)
        more = {"labels_file": str(labels), "test_list": str(test_list)}
        sets["cards"] = (images, more, "mean_average_precision")
    return sets


def _train(
    images: Path, extra: dict[str, str], backbone: Path, edge: int, seed: int, metric: str, scratch: Path
) -> dict[str, float]:
    from trainer.progress import SilentReporter
    from trainer.recipe import Recipe
    from trainer.statistics import models_from_json
    from trainer.train import train

    recipe = Recipe.model_validate(
        {
            "images": str(images),
            "backbone": str(backbone),
            "input_height": edge,
            "input_width": edge,
            "seed": seed,
            **extra,
        }
    )
    outcome = train(recipe, scratch / "run", scratch / "cache", SilentReporter(), overwrite=True)
    best = models_from_json(outcome.run.statistics_path.read_text())["best"]
    return {name: split.metrics[metric].value for name, split in best.splits.items()}


def _with_random_weights(folder: Path, out: Path) -> Path:
    import shutil

    import torch
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(0)
    network = AutoModel.from_config(AutoConfig.from_pretrained(str(folder)))  # type: ignore[no-untyped-call]
    network.save_pretrained(out)
    if (folder / "preprocessor_config.json").is_file():
        shutil.copy(folder / "preprocessor_config.json", out)
    return out
