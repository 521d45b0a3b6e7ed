"""The backbones of an install: one folder each, added from a local folder, listed, found by name, and removed.

A folder holds `config.json`, `*.safetensors` and what goes with them. Adding copies into a hidden folder beside the
others, builds the network there and runs it once, and only then gives the folder its name: what can be listed can be
trained with. Never reads pickled weights, never runs code of a folder, never opens a connection (`trainer.backbone_hub`
does, and nothing else).
"""

from __future__ import annotations

import json
import math
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from bundle.files import sync_folder
from trainer.backbone import load_encoder, read_backbone_spec
from trainer.errors import BackboneError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
WANTED = re.compile(
    r"config\.json|preprocessor_config\.json|source\.json|[A-Za-z0-9][A-Za-z0-9._-]{0,70}\.safetensors(\.index\.json)?"
    r"|(LICENSE|LICENCE|README|NOTICE)[A-Za-z0-9._-]{0,50}"
)
SOURCE = "source.json"  # {"hub_id": ..., "revision": ...}, where it came from the Hub
MAX_FILES = 256
CHUNK_BYTES = 1 << 20

Progress = Callable[[str, int, int], None]  # what is being done, bytes done, bytes in all


@dataclass(frozen=True)
class StoredBackbone:
    """family: the model_type of its config.json.  sha256: as a run records it (`BackboneSpec.sha256`).

    height, width: pixels of its input.  parameters: numbers in its weight files.  licence: as its README names it, or
    None.  source: "owner/name@revision" where it came from the Hub.
    """

    name: str
    folder: Path
    family: str
    height: int
    width: int
    parameters: int
    size_bytes: int
    sha256: str
    licence: str | None
    source: str | None


class BackboneStore:
    """The folder `backbones` of an install (`OnsightHome.backbones_dir`); it need not exist yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        if not self.folder.is_dir():
            return []
        return sorted(path.name for path in self.folder.iterdir() if path.is_dir() and NAME.fullmatch(path.name))

    def find(self, name: str) -> Path:
        """The folder of a name. Raises BackboneError that lists the names that are there."""
        names = self.names()
        if name not in names:
            there = f"these are there: {', '.join(names)}" if names else "none is there yet"
            raise BackboneError(
                f"{name[:200]}: expected the name of a backbone of this install, or a local folder, found neither;"
                f" {there}. Add it with `onsight backbones add`."
            )
        return self.folder / name

    def resolve(self, name_or_folder: Path) -> Path:
        """The folder that a person means: a folder where there is one of that name, else a backbone of this install.

        Raises BackboneError where it is neither.
        """
        return name_or_folder if name_or_folder.is_dir() else self.find(str(name_or_folder))

    def describe(self, name: str) -> StoredBackbone:
        """Reads every file, for its digest. Raises BackboneError where a file is missing or damaged."""
        folder = self.find(name)
        spec = read_backbone_spec(folder)
        return StoredBackbone(
            name, folder, spec.name, spec.height, spec.width, _count_parameters(folder),
            sum(path.stat().st_size for path in wanted_files(folder)), spec.sha256, _licence(folder), _source(folder),
        )  # fmt: skip

    def add_folder(self, source: Path, name: str | None = None, progress: Progress | None = None) -> StoredBackbone:
        """Copy a local `transformers` folder and prove that it works.

        Links in it are followed, since the caches of other tools consist of them. Raises BackboneError.
        """
        name = check_name(source.resolve().name if name is None else name)
        self.check_free(name)
        read_backbone_spec(source)  # complains of the folder that the user knows, before anything is copied
        files = wanted_files(source)
        total, done = sum(path.stat().st_size for path in files), 0
        with self.staging() as staging:
            target = staging / name
            target.mkdir()
            for path in files:
                with path.open("rb") as reader, (target / path.name).open("wb") as writer:
                    while chunk := reader.read(CHUNK_BYTES):
                        done += writer.write(chunk)
                        if progress is not None:
                            progress(f"copying {name}", done, max(total, done))
            self.prove(target)
            return self.take(target)

    def prove(self, staged: Path) -> None:
        """Raise BackboneError unless a folder inside `staging()` holds a network that runs."""
        try:
            load_encoder(read_backbone_spec(staged))
        except BackboneError as error:
            raise BackboneError(f"{staged.name}: not added. {str(error).removeprefix(f'{staged}: ')}") from error

    def take(self, staged: Path) -> StoredBackbone:
        """Let a proven folder inside `staging()` be one of the store, under the name that it has."""
        self.check_free(staged.name)
        sync_folder(staged)
        staged.rename(self.folder / staged.name)
        sync_folder(self.folder)
        return self.describe(staged.name)

    def check_free(self, name: str) -> None:
        if (self.folder / name).exists():
            raise BackboneError(
                f"{name}: expected a name that is free, found a backbone of this install under it. Choose another with"
                f" --name, or take that one out first: onsight backbones remove {name}"
            )

    def remove(self, name: str) -> None:
        """Raises BackboneError where there is none of that name."""
        folder = self.find(name)
        with self.staging() as staging:  # out of sight in one step, whatever happens during the rest
            folder.rename(staging / name)

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A hidden folder on the store's own file system, removed at the end."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(prefix=".adding-", dir=self.folder))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


def check_name(name: str) -> str:
    if NAME.fullmatch(name) is None:
        raise BackboneError(
            f"backbone name: expected 1 to 100 letters, digits, '.', '_' or '-', a letter or digit first; found"
            f" {name[:100]!r}. Choose another with --name."
        )
    return name


def wanted_files(folder: Path) -> list[Path]:
    """The files of a backbone in name order; whatever else lies beside them is passed over."""
    return sorted(path for path in folder.iterdir() if WANTED.fullmatch(path.name) and path.is_file())


def _count_parameters(folder: Path) -> int:
    count = 0
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, "np") as file:
                count += sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise BackboneError(f"{path}: expected safetensors, found a damaged file ({error}).") from error
    return count


def _licence(folder: Path) -> str | None:
    """What the head of README.md (YAML between two lines of ---) says after `license:`."""
    path = folder / "README.md"
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8", errors="replace")[:20_000]
    head = re.match(r"---\s*\n(.*?)\n---\s*(\n|$)", text, re.DOTALL)
    found = re.search(r"^license:\s*['\"]?([A-Za-z0-9][A-Za-z0-9._+-]{0,60})", head[1], re.MULTILINE) if head else None
    return found[1] if found else None


def _source(folder: Path) -> str | None:
    try:
        document = json.loads((folder / SOURCE).read_text(encoding="utf-8"))
        return f"{document['hub_id']}@{document['revision']}"
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
