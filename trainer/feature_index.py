"""What the features of an install's images are, and where they lie: written by `trainer.index`, read without torch."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from bundle.files import write_atomically
from bundle.manifest import Frozen, PreprocessSpec


class FeatureIndex(Frozen):
    """backbone: its name.  folder: of the `FeatureCache`.  graph: file of the ONNX graph, for images of no project."""

    backbone: str
    preprocess: PreprocessSpec
    folder: str
    graph: str


def index_path(cache_dir: Path) -> Path:
    return cache_dir / "features" / "index.json"


def write_index(cache_dir: Path, index: FeatureIndex) -> None:
    write_atomically(index_path(cache_dir), index.model_dump_json().encode())


def read_index(cache_dir: Path) -> FeatureIndex | None:
    """None where no image has been read yet, or the file is of another version."""
    try:
        return FeatureIndex.model_validate_json(index_path(cache_dir).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
