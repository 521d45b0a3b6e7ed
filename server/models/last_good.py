"""The last copy of each bundle file that served, so that a bad file put in its place takes nothing away.

One folder below `home/serving` a models folder: `index.json` and the copies. A copy is verified like any other bundle
each time it is read. Fails softly: where the disk is full or read-only, there is no copy, and the log says so.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bundle.errors import OnsightError
from bundle.files import atomic_file, write_atomically
from bundle.load import Bundle, load_bundle
from bundle.sealed import Opener
from bundle.trust import TrustStore

log = logging.getLogger("onsight.server")

INDEX = "index.json"


@dataclass(frozen=True, slots=True)
class Original:
    """A bundle file that serves, and the digest of the manifest that it held when it was loaded."""

    path: Path
    manifest_sha256: str


class LastGoodStore:
    """Copies by the key of their bundle file (`BundleFile.key`); a sealed bundle's is as sealed.

    opener: this install's key, for these. Safe to use from several processes.
    """

    def __init__(self, home: Path, models_dir: Path, opener: Opener | None = None) -> None:
        name = hashlib.sha256(str(models_dir.absolute()).encode()).hexdigest()[:16]
        self.folder = home / "serving" / name
        self._opener = opener
        self._warned: set[str] = set()

    def keys(self) -> list[str]:
        """Of all files that there is a copy of."""
        return sorted(self._read())

    def get(self, key: str, trust: TrustStore) -> Bundle | None:
        """The verified copy, or None where there is none that verifies."""
        name = self._read().get(key)
        if name is None:
            return None
        try:
            return load_bundle(self.folder / name, trust, opener=self._opener)
        except OnsightError as error:
            self._warn_once("the copy kept does not verify", key, error.code)
            return None

    def update(self, serving: Mapping[str, Original], keys: Collection[str], trust: TrustStore) -> None:
        """Have a copy of each of these, and none of files other than `keys`. A bundle that is a folder is not copied.

        Does nothing where nothing is new; what failed, for want of room perhaps, is tried again each time.
        """
        index = self._read()
        new = {
            key: original
            for key, original in serving.items()
            if not self._has(index, key, original) and _is_file(original.path)
        }
        if not new and set(index) <= set(keys):
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._locked():
                index = {key: name for key, name in self._read().items() if key in keys}
                for key, original in new.items():
                    if not self._has(index, key, original) and (name := self._copy(key, original, trust)):
                        index[key] = name
                write_atomically(self.folder / INDEX, json.dumps(index, indent=1).encode(), mode=0o600)
                self._sweep(index.values())
        except OSError as error:
            self._warn_once("copies of bundles not kept", "", error.strerror or str(error))

    def _copy(self, key: str, original: Original, trust: TrustStore) -> str | None:
        """The name of the verified copy."""
        copy = self.folder / f"{original.manifest_sha256}.onsight"
        try:
            with original.path.open("rb") as source, atomic_file(copy, mode=0o600) as target:
                shutil.copyfileobj(source, target, 1024 * 1024)
            if load_bundle(copy, trust, opener=self._opener).manifest_sha256 == original.manifest_sha256:
                return copy.name
        except (OSError, OnsightError) as error:
            self._warn_once("no copy kept", key, getattr(error, "strerror", None) or str(error))
        return None  # or it changed under our hands; the next look sees to it

    def _has(self, index: Mapping[str, str], key: str, original: Original) -> bool:
        name = f"{original.manifest_sha256}.onsight"
        return index.get(key) == name and (self.folder / name).exists()

    def _read(self) -> dict[str, str]:
        try:
            index = json.loads((self.folder / INDEX).read_bytes())
        except (OSError, ValueError):
            return {}
        if not isinstance(index, dict):
            return {}
        return {str(key): Path(str(name)).name for key, name in index.items()}

    def _sweep(self, names: Collection[str]) -> None:
        """Remove copies that no file needs, and what a crash left half-written."""
        for path in (*self.folder.glob("*.onsight"), *self.folder.glob(".*.tmp")):
            if path.name not in names:
                path.unlink(missing_ok=True)

    def _warn_once(self, event: str, key: str, reason: str) -> None:
        line = f"{event} {key} {reason}"
        if line not in self._warned:
            self._warned.add(line)
            log.warning(event, extra={"bundle": key, "reason": reason})

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # its folder cannot be read now
        return False
