"""A folder of what can be built again: sealed, bounded, and built once however many processes want it.

An entry is two files: the bytes, and a sidecar in JSON that says what they are for, with an HMAC-SHA256 over both under
the key of this install. Reading: the sidecar, then its identity, then the bytes, then the HMAC, and only then are the
bytes handed out: the very ones that were checked, never a file's name. Whatever does not fit is as good as absent.
Writing is atomic; a crash leaves an entry that does not fit, hence none. Nothing outside the folder is ever touched.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import hmac
import json
import logging
import os
import stat
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bundle.files import write_atomically

log = logging.getLogger("onsight.server")

Identity = Mapping[str, object]
"""What an entry is for: plain JSON values. Equal identities have the same entry, any difference makes another one."""

MAX_SIDECAR_BYTES = 64 * 1024
LOCKS = 64
ABANDONED_S = 3600.0
_DOMAIN = b"onsight engine cache 1\n"
_SIDECAR = ".json"
_UNUSABLE = (OSError, ValueError, KeyError, TypeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Entry:
    """What lies in the folder. problem: why it is as good as absent, and then nothing that it says of itself is told.

    size_bytes: of the bytes and the sidecar.
    """

    name: str
    size_bytes: int
    identity: Identity
    facts: Identity
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class SealedCache:
    """folder: made at its first use, for this user alone.  key: see `install_key`.  now: seconds since 1970.

    max_bytes: all entries together; the one used longest ago goes first.
    """

    folder: Path
    key: bytes
    max_bytes: int
    now: Callable[[], float] = time.time

    @contextlib.contextmanager
    def locked(self, identity: Identity, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Nobody else loads or builds this entry meanwhile, in any process. on_wait: called where somebody does.

        Within the lock of one kind of entries, that of another kind may be taken, always in the same order.
        """
        with self._open_lock(entry_name(identity)) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def load(self, identity: Identity) -> bytes | None:
        """The sealed bytes; None where there are none to trust, and then the log says why if there were some."""
        path = self.folder / entry_name(identity)
        try:
            sidecar = json.loads(_read_file(_sidecar_of(path), MAX_SIDECAR_BYTES))
            if sidecar["identity"] != dict(identity):
                raise ValueError("it is sealed for something else")
            payload = self._read_sealed(path, sidecar)
        except FileNotFoundError:
            return None
        except _UNUSABLE as error:
            log.warning("engine cache entry not used", extra={"entry": path.name, "reason": str(error)})
            return None
        with contextlib.suppress(OSError):
            os.utime(path, (self.now(), self.now()))  # used now: the sweep goes by it
        return payload

    def save(self, identity: Identity, payload: bytes, facts: Identity) -> None:
        """facts: for people to read; sealed as well. Then sweep. Raises OSError where it cannot be written."""
        path = self.folder / entry_name(identity)
        if len(payload) > self.max_bytes:
            raise OSError(errno.EFBIG, f"it has {len(payload)} bytes, and the whole cache may have {self.max_bytes}")
        document = {"identity": dict(identity), "facts": dict(facts), "hmac": self._seal(identity, facts, payload)}
        write_atomically(path, payload, mode=0o600)
        write_atomically(_sidecar_of(path), json.dumps(document, indent=2, sort_keys=True).encode(), mode=0o600)
        os.utime(path, (self.now(), self.now()))
        self.sweep(keep=path.name)

    def entries(self) -> list[Entry]:
        """All of them, by name, each as far as its seal fits; every byte of them is read for that."""
        found = []
        with contextlib.suppress(FileNotFoundError):
            for path in sorted(self.folder.iterdir()):
                if path.suffix == _SIDECAR or path.name.startswith((".", "lock-")):
                    continue
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                    found.append(self._entry_at(path))
        return found

    def remove(self, name: str) -> bool:
        """Remove one entry, by its name; False where some process loads or builds it now, or it cannot be removed."""
        with contextlib.suppress(OSError), self._open_lock(name) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(FileNotFoundError):
                _sidecar_of(self.folder / name).unlink()
            (self.folder / name).unlink()
            return True
        return False

    def discard(self, identity: Identity) -> None:
        """Forget an entry that turned out to be of no use."""
        path = self.folder / entry_name(identity)
        for file in (_sidecar_of(path), path):
            with contextlib.suppress(OSError):
                file.unlink()

    def sweep(self, keep: str = "") -> None:
        """Remove what was used longest ago until the rest fits; and what a crash left. keep: the name of an entry."""
        entries, total = [], 0
        for file in self.folder.iterdir():
            with contextlib.suppress(OSError):
                facts = file.lstat()
                if not stat.S_ISREG(facts.st_mode) or file.name.startswith("lock-"):
                    continue
                if file.name.startswith("."):  # being written, or left by a crash
                    if self.now() - facts.st_mtime > ABANDONED_S:
                        file.unlink()
                elif file.suffix != _SIDECAR:
                    entries.append((facts.st_mtime, file, facts.st_size))
                    total += facts.st_size
                elif not file.with_suffix("").exists():
                    file.unlink()
        for _, file, size in sorted(entries, key=lambda entry: entry[0]):
            if total <= self.max_bytes:
                return
            if file.name != keep and self.remove(file.name):
                log.info("engine cache entry removed: the cache is full", extra={"entry": file.name})
                total -= size

    def _entry_at(self, path: Path) -> Entry:
        size = path.lstat().st_size
        try:
            document = _read_file(_sidecar_of(path), MAX_SIDECAR_BYTES)
            sidecar = json.loads(document)
            identity, facts = dict(sidecar["identity"]), dict(sidecar["facts"])
            if entry_name(identity) != path.name:
                raise ValueError("it is sealed for something else")
            self._read_sealed(path, sidecar)
        except FileNotFoundError:
            return Entry(path.name, size, {}, {}, "its sidecar is missing")
        except _UNUSABLE as error:
            return Entry(path.name, size, {}, {}, str(error))
        return Entry(path.name, size + len(document), identity, facts)

    def _read_sealed(self, path: Path, sidecar: Mapping[str, object]) -> bytes:
        payload = _read_file(path, self.max_bytes)
        if not hmac.compare_digest(str(sidecar["hmac"]), self._seal(sidecar["identity"], sidecar["facts"], payload)):
            raise ValueError("its seal is not of this install, or it was changed")
        return payload

    def _open_lock(self, name: str) -> IO[bytes]:
        """One of a few files a kind, which are never removed: a lock on a file that is gone would bind nobody."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        kind, _, digest = name.rpartition("-")
        number = zlib.crc32(digest.encode()) % LOCKS
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.fdopen(os.open(self.folder / f"lock-{kind}-{number:02d}", flags, 0o600), "r+b")

    def _seal(self, identity: object, facts: object, payload: bytes) -> str:
        head = json.dumps([identity, facts], sort_keys=True, separators=(",", ":")).encode()
        seal = hmac.new(self.key, _DOMAIN + f"{len(head)} {len(payload)}\n".encode() + head, hashlib.sha256)
        seal.update(payload)
        return seal.hexdigest()


def entry_name(identity: Identity) -> str:
    """A file's name: what it is, and a digest of the rest. identity: with a `kind`, like `plan`."""
    digest = hashlib.sha256(json.dumps(dict(identity), sort_keys=True).encode()).hexdigest()
    return f"{identity['kind']}-{digest[:40]}"


def _sidecar_of(path: Path) -> Path:
    return path.with_name(path.name + _SIDECAR)


def _read_file(path: Path, max_bytes: int) -> bytes:
    """A regular file of at most so many bytes. Never follows a link."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > max_bytes:
            raise ValueError(f"expected a file of at most {max_bytes} bytes, found {facts.st_size}")
        return file.read(max_bytes + 1)[: max_bytes + 1]
