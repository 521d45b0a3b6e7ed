"""The secret of this install that seals its engine cache: 32 random bytes in a file that its owner alone can read.

A plan is native code: whoever can put one before TensorRT owns the process. The cache's files may be as open as any
folder; what counts is that nobody else knows this key. A key that others could have read is replaced, and all that it
sealed is built again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from bundle.files import write_atomically

KEY_BYTES = 32


def load_install_key(path: Path) -> bytes:
    """The key, made at its first use. Raises OSError where there is none and none can be made."""
    key = _read(path)
    if key is not None:
        return key
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _one_at_a_time(path.parent):
        key = _read(path)  # another process may have been quicker: its key it is
        if key is None:  # or not ours alone, or broken: what it sealed is worth nothing
            write_atomically(path, secrets.token_bytes(KEY_BYTES), mode=0o600)
            key = _read(path)
    if key is None:
        raise PermissionError(f"{path}: expected a key file of this user, mode 0600, and cannot keep one")
    return key


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Looking whether a key is there and making one is one step for all processes; the folder itself is the lock."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(path: Path) -> bytes | None:
    """The key; None where there is none, or where another user owns it or could have read it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        private = stat.S_ISREG(facts.st_mode) and facts.st_uid == os.geteuid() and not facts.st_mode & 0o077
        key = file.read(KEY_BYTES + 1) if private else b""
    return key if len(key) == KEY_BYTES else None
