"""The command line of the recipe; see the package's own words for the order of its parts."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from benchmarks.backbone.networks import CANDIDATES


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backbone", description="Make the embedded backbone.")
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="distil a teacher into a small network; going on where --out holds one")
    train.add_argument("archives", type=Path, nargs="+", metavar="IMAGES.tar", help="CLASS/NAME.JPEG of 64x64 pixels")
    train.add_argument("--teacher", type=Path, required=True, metavar="FOLDER", help="a MobileNetV2 classifier")
    train.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    train.add_argument("--student", choices=CANDIDATES, default="mobilenet")
    train.add_argument("--edges", type=int, nargs="+", metavar="PIXELS", help="input sizes, the main one first")
    train.add_argument("--minutes", type=float, default=10.0, help="of training; the schedule ends with it")
    train.add_argument("--steps", type=int, help="instead of --minutes: the same result whatever the speed")
    train.add_argument("--batch", type=int, default=512)
    train.add_argument("--learning-rate", type=float, default=2e-3)
    train.add_argument("--compile", action="store_true", help="torch.compile, which takes a minute and then is faster")
    train.add_argument("--limit", type=int, metavar="N", help="only so many images: to try the recipe")
    train.add_argument("--save-every", type=float, default=60.0, metavar="SECONDS")
    train.add_argument("--seed", type=int, default=0)
    for name, text in (
        ("speed", "what each candidate costs on this CPU, beside MobileNetV2 at 224"),
        ("probe", "train heads on frozen features of photos that the network never saw"),
        ("pack", "float16 weights, configuration and licence: the folder that is embedded"),
    ):
        importlib.import_module(f"benchmarks.backbone.{name}").add_arguments(commands.add_parser(name, help=text))
    arguments = parser.parse_args()
    if arguments.command == "train":
        _train(arguments)
    else:
        importlib.import_module(f"benchmarks.backbone.{arguments.command}").run(arguments)


def _train(arguments: argparse.Namespace) -> None:
    from benchmarks.backbone.distil import Plan, distil
    from benchmarks.backbone.images import read_pictures

    pictures = read_pictures(arguments.archives, arguments.limit)
    print(f"{len(pictures.pixels):,} images of {len(pictures.classes)} classes", flush=True)
    edge = CANDIDATES[arguments.student][1]
    plan = Plan(
        student=arguments.student, edges=tuple(arguments.edges or (edge, edge - 32, edge + 32)),
        minutes=arguments.minutes, steps=arguments.steps, batch=arguments.batch, learning_rate=arguments.learning_rate,
        seed=arguments.seed, save_every_s=arguments.save_every, compile=arguments.compile,
    )  # fmt: skip
    distil(pictures, arguments.teacher, plan, arguments.out, lambda text: print(text, flush=True))


if __name__ == "__main__":
    main()
