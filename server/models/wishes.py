"""What an operator asked for by name: models that are not to serve, versions that are. Kept in one file of the home.

All workers read it; one call writes it. Without a wish the highest version that loads serves.
"""

from __future__ import annotations

import fcntl
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from bundle.files import write_atomically
from server.errors import ConfigurationError
from server.models.registry import ModelKey
from server.models.shelf import Fingerprint, fingerprint_of


class Wish(BaseModel):
    """For one model. versions: those to serve, empty for the highest that loads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unloaded: bool = False
    versions: tuple[str, ...] = ()


class _WishFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    models: dict[str, Wish] = {}


class Wishes:
    """The file `path`; it need not exist."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def fingerprint(self) -> Fingerprint:
        return fingerprint_of(self.path)

    def read(self) -> dict[ModelKey, Wish]:
        """Raises ConfigurationError where the file is not ours."""
        try:
            found = _WishFile.model_validate_json(self.path.read_bytes()).models
        except FileNotFoundError:
            return {}
        except (OSError, ValidationError) as error:
            raise ConfigurationError(
                f"{self.path}: expected the list of loaded and unloaded models, found something else. Delete it: then"
                " the highest version of every model serves."
            ) from error
        return {(key.partition("/")[0], key.partition("/")[2]): wish for key, wish in found.items()}

    def load(self, key: ModelKey, version: str | None) -> None:
        """Serve this model again; with a version, that one beside those asked for before. Raises OSError."""
        now = self.read().get(key, Wish())
        versions = now.versions if version is None or version in now.versions else (*now.versions, version)
        self._set(key, Wish(versions=() if version is None else versions))

    def unload(self, key: ModelKey, version: str | None) -> None:
        """Serve this model, or this version of those asked for by version, no longer. Raises OSError."""
        now = self.read().get(key, Wish())
        left = tuple(each for each in now.versions if each != version)
        self._set(key, Wish(versions=left) if version is not None and left else Wish(unloaded=True))

    def _set(self, key: ModelKey, wish: Wish) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.path.with_name(f".{self.path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            wishes = {f"{project}/{name}": each for (project, name), each in self.read().items()}
            wishes["/".join(key)] = wish
            kept = {name: each for name, each in sorted(wishes.items()) if each != Wish()}
            data = _WishFile(models=kept).model_dump_json(indent=1).encode() + b"\n"
            write_atomically(self.path, data, mode=0o600)
