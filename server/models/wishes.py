"""What an operator asked for by name: models that are not to serve, versions that are. Kept in one file of the home.

All workers read it; one call writes it. Without a wish the highest version that loads serves.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from bundle.files import write_atomically
from bundle.fingerprint import Fingerprint, fingerprint_of
from server.errors import ConfigurationError
from server.models.registry import ModelKey


class Wish(BaseModel):
    """For one model. follow: serve what serves without a wish, so the highest.  versions: serve these, too."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    follow: bool = True
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

    def load(self, key: ModelKey, version: str | None) -> bool:
        """Serve the highest version again, and it alone; with a version, that one beside what serves.

        Returns whether this is new. Raises OSError, ConfigurationError.
        """

        def wish(now: Wish) -> Wish:
            if version is None:
                return Wish()
            return now if version in now.versions else Wish(follow=now.follow, versions=(*now.versions, version))

        return self._set(key, wish)

    def unload(
        self, key: ModelKey, version: str | None, serving: Sequence[str] = (), *, every_version: bool = False
    ) -> bool:
        """Serve this model no longer; with a version, that one no longer, and the others as before.

        serving: its versions that serve now, highest first.  every_version: all serve without a wish.  To stop a
        version that serves without a wish is to stop following: a later version then waits for a `load`.
        Returns whether this is new. Raises OSError, ConfigurationError.
        """

        def wish(now: Wish) -> Wish:
            if version is None:
                return Wish(follow=False)
            others = tuple(each for each in now.versions if each != version)
            if version not in serving:
                return Wish(follow=now.follow, versions=others)
            if now.follow and not every_version and version != serving[0]:
                return Wish(versions=others)
            return Wish(follow=False, versions=tuple(each for each in serving if each != version))

        return self._set(key, wish)

    def _set(self, key: ModelKey, change: Callable[[Wish], Wish]) -> bool:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.path.with_name(f".{self.path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            wishes = self.read()
            before = wishes.get(key, Wish())
            wishes[key] = change(before)
            if wishes[key] == before:
                return False
            kept = {"/".join(each): wish for each, wish in sorted(wishes.items()) if wish != Wish()}
            data = _WishFile(models=kept).model_dump_json(indent=1).encode() + b"\n"
            write_atomically(self.path, data, mode=0o600)
            return True
