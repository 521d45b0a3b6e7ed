"""Which networks a training can learn from: by the folders of the install, without opening one."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

import trainer
from bundle.manifest import Frozen

DEFAULT = "onsight-small"
_BUILT_IN = Path(trainer.__file__).parent / "backbones"


class Backbone(Frozen):
    name: str
    built_in: bool = Field(description="it came with Onsight")
    size_bytes: int = Field(description="of its weights")


def backbones_of(folder: Path) -> list[Backbone]:
    """folder: of those that were added. The default first."""
    found = [_look(path, True) for path in _folders(_BUILT_IN)]
    found += [_look(path, False) for path in _folders(folder) if path.name not in {each.name for each in found}]
    return sorted(found, key=lambda each: (each.name != DEFAULT, each.size_bytes))


def _folders(folder: Path) -> list[Path]:
    """What `onsight backbones list` lists: hidden ones are not whole yet."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.name[0] not in "._" and (path / "config.json").is_file())


def _look(folder: Path, built_in: bool) -> Backbone:
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return Backbone(name=folder.name, built_in=built_in, size_bytes=size)
