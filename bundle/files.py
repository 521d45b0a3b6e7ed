"""Write a file whole or not at all.

In this order: a fresh temporary file beside the target (so that the rename stays on one file system), its bytes, fsync,
the final name, fsync of the folder. A crash leaves the old file or the new one, never a half; the temporary file has
its final permissions from its first moment on. Never follows a link at the target's place: the name is replaced.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def atomic_file(path: Path, mode: int = 0o644, replace: bool = True) -> Iterator[BinaryIO]:
    """A file to write, which becomes `path` when the block ends well; `path`'s folder must exist.

    mode: permission bits, further narrowed by the process's umask.
    replace: False raises FileExistsError where something stands at `path` already, whoever put it there and when.
    Raises OSError, which names `path`, where the folder cannot be written. Nothing is left behind then, nor when the
    block raises.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except OSError as error:
        error.filename = str(path)  # what the caller asked for; nobody knows the other name
        raise
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            _rename_to_free_name(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
    sync_folder(path.parent)


def _rename_to_free_name(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)  # unlike a rename, a link refuses a name that is taken
    except FileExistsError:
        raise
    except OSError:  # a file system without links: take the name with an empty file, then replace that
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        temporary.replace(path)


def write_atomically(path: Path, data: bytes, mode: int = 0o644, replace: bool = True) -> None:
    """`atomic_file` for bytes that are at hand."""
    with atomic_file(path, mode, replace) as file:
        file.write(data)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
