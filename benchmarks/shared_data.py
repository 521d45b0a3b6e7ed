"""Real images and weights: in a folder beside the repository, or in the one that ONSIGHT_TEST_DATA names."""

from __future__ import annotations

import csv
import os
import zipfile
from pathlib import Path

DATA = Path(os.environ.get("ONSIGHT_TEST_DATA", Path(__file__).parents[1].parent / "shared" / "data"))
MOBILENET = DATA / "weights" / "mobilenet_v2_imagenet"
DATASETS = DATA / "datasets"


def require_data() -> None:
    """Raise FileNotFoundError, with what to do, where the data are not at hand."""
    if not MOBILENET.is_dir() or not DATASETS.is_dir():
        raise FileNotFoundError(
            f"{DATA}: expected weights/mobilenet_v2_imagenet and datasets/. Set ONSIGHT_TEST_DATA to"
            " the folder of both."
        )


def unpack_trashnet(folder: Path) -> Path:
    """The class folders of TrashNet (2,527 photos, 341x256)."""
    return _unpack("trashnet_256.zip", folder) / "trashnet"


def trashnet_list(split: str) -> Path:
    """The official list of a split: train, val or test."""
    return DATASETS / f"trashnet_official_split_{split}.txt"


def unpack_cards(folder: Path) -> tuple[Path, Path, Path]:
    """Images, label file and a list of the test images of the playing cards (363 photos, 378x504, six tags)."""
    cards = _unpack("cards_multilabel.zip", folder) / "cards"
    test_list = folder / "cards_test.txt"
    with (cards / "split.csv").open(newline="") as file:
        names = [row["filename"] for row in csv.DictReader(file) if row["split"] == "test"]
    test_list.write_text("\n".join(names) + "\n")
    return cards / "images", cards / "labels.csv", test_list


def _unpack(name: str, folder: Path) -> Path:
    with zipfile.ZipFile(DATASETS / name) as archive:
        archive.extractall(folder)
    return folder
