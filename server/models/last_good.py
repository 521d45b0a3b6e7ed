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
from collections.abc import Collection, Iterator
from pathlib import Path

from bundle.errors import OnsightError
from bundle.files import atomic_file, write_atomically
from bundle.load import Bundle, load_bundle
from bundle.trust import TrustStore

log = logging.getLogger("onsight.server")

INDEX = "index.json"


class LastGoodStore:
    """Copies by the key of their bundle file (`BundleFile.key`). Safe to use from several processes."""

    def __init__(self, home: Path, models_dir: Path) -> None:
        name = hashlib.sha256(str(models_dir.absolute()).encode()).hexdigest()[:16]
        self.folder = home / "serving" / name

    def keep(self, key: str, bundle: Bundle, trust: TrustStore) -> None:
        """Remember a bundle that serves. A folder is not copied."""
        if not bundle.path.is_file():
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._locked():
                index = self._read()
                copy = self.folder / f"{bundle.manifest_sha256}.onsight"
                if index.get(key) == copy.name and copy.exists():
                    return
                with bundle.path.open("rb") as source, atomic_file(copy, mode=0o600) as target:
                    shutil.copyfileobj(source, target, 1024 * 1024)
                if load_bundle(copy, trust).manifest_sha256 != bundle.manifest_sha256:
                    return  # it changed under our hands; the next look sees to it
                self._write({**index, key: copy.name})
        except (OSError, OnsightError) as error:
            log.warning("no copy kept", extra={"bundle": key, "reason": getattr(error, "strerror", None) or str(error)})

    def get(self, key: str, trust: TrustStore) -> Bundle | None:
        """The verified copy, or None where there is none that verifies."""
        name = self._read().get(key)
        if name is None:
            return None
        try:
            return load_bundle(self.folder / name, trust)
        except OnsightError as error:
            log.warning("the copy kept does not verify", extra={"bundle": key, "code": error.code})
            return None

    def forget_others(self, keys: Collection[str]) -> None:
        """Drop the copies of files that are gone from the models folder."""
        with contextlib.suppress(OSError):
            if set(self._read()) - set(keys):
                with self._locked():
                    self._write({key: name for key, name in self._read().items() if key in keys})

    def _read(self) -> dict[str, str]:
        try:
            index = json.loads((self.folder / INDEX).read_bytes())
        except (OSError, ValueError):
            return {}
        if not isinstance(index, dict):
            return {}
        return {str(key): Path(str(name)).name for key, name in index.items()}

    def _write(self, index: dict[str, str]) -> None:
        write_atomically(self.folder / INDEX, json.dumps(index, indent=1).encode(), mode=0o600)
        for path in self.folder.glob("*.onsight"):
            if path.name not in index.values():
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
