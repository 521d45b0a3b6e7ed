"""The backbones of an install: the built-in ones, and a folder for each that was added from a local folder.

A folder holds `config.json`, `*.safetensors` and what goes with them. Adding copies into a hidden folder beside the
others, builds the network there and runs it once, and only then gives the folder its name: what can be listed can be
trained with. Never reads pickled weights, never runs code of a folder, never opens a connection (`trainer.backbone_hub`
does, and nothing else).
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from bundle.files import sync_folder
from trainer.backbone import BUILT_IN, load_encoder, read_backbone_spec
from trainer.errors import BackboneError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
WANTED = re.compile(
    r"config\.json|preprocessor_config\.json|source\.json|[A-Za-z0-9][A-Za-z0-9._-]{0,70}\.safetensors(\.index\.json)?"
    r"|(LICENSE|LICENCE|README|NOTICE)[A-Za-z0-9._-]{0,50}"
)
SOURCE = "source.json"  # {"hub_id": ..., "revision": ...}, where it came from the Hub
MAX_FILES = 256
_ADDING = ".adding-"
CHUNK_BYTES = 1 << 20

Progress = Callable[[str, int, int], None]  # what is being done, bytes done, bytes in all


@dataclass(frozen=True)
class StoredBackbone:
    """family: the model_type of its config.json.  sha256: as a run records it (`BackboneSpec.sha256`).

    height, width: pixels of its input.  parameters: numbers in its weight files.  licence: as its README names it, or
    None.  source: "owner/name@revision" where it came from the Hub.  built_in: it came with Onsight.
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
    built_in: bool


class BackboneStore:
    """The folder `backbones` of an install (`OnsightHome.backbones_dir`); it need not exist yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """The built-in ones first, then those that were added."""
        return [*built_in_names(), *(name for name in _folder_names(self.folder) if name not in built_in_names())]

    def find(self, name: str) -> Path:
        """The folder of a name. Raises BackboneError that lists the names that are there."""
        names = self.names()
        if name not in names:
            raise BackboneError(
                f"{name[:200]}: expected the name of a backbone of this install, or a local folder, found neither;"
                f" these are there: {', '.join(names)}. Add it with `onsight backbones add`."
            )
        return (BUILT_IN if name in built_in_names() else self.folder) / name

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
            name in built_in_names(),
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
        if name in built_in_names():
            raise BackboneError(
                f"{name}: expected a name that is free, found the backbone that comes with Onsight. Choose another with"
                " --name."
            )
        if (self.folder / name).exists():
            raise BackboneError(
                f"{name}: expected a name that is free, found a backbone of this install under it. Choose another with"
                f" --name, or take that one out first: onsight backbones remove {name}"
            )

    def remove(self, name: str) -> None:
        """Raises BackboneError where there is none of that name, or where it is built in."""
        folder = self.find(name)
        if name in built_in_names():
            raise BackboneError(f"{name}: expected a backbone that was added, found the one that comes with Onsight.")
        with self.staging() as staging:  # out of sight in one step, whatever happens during the rest
            folder.rename(staging / name)

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A hidden folder on the store's own file system, removed at the end; with it what killed processes left.

        Its lock says that it is in use, and ends with the process. Where a file system has no locks nothing is swept.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as locks:
            with _open_folder(self.folder) as store:
                if _lock(store, fcntl.LOCK_EX):  # so that nobody sweeps a folder between its making and its lock
                    self._sweep()
                path = Path(tempfile.mkdtemp(prefix=_ADDING, dir=self.folder))
                _lock(locks.enter_context(_open_folder(path)), fcntl.LOCK_EX)
            try:
                yield path
            finally:
                shutil.rmtree(path, ignore_errors=True)

    def _sweep(self) -> None:
        for path in self.folder.glob(f"{_ADDING}*"):
            with suppress(OSError), _open_folder(path) as left:
                if _lock(left, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    shutil.rmtree(path, ignore_errors=True)


def built_in_names() -> list[str]:
    return _folder_names(BUILT_IN)


@contextmanager
def _open_folder(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, how: int) -> bool:
    """Whether it was to be had; some network file systems have none."""
    try:
        fcntl.flock(descriptor, how)
    except OSError:
        return False
    return True


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


def _folder_names(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and NAME.fullmatch(path.name))


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
