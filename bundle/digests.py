"""Hold a bundle's files against its manifest: exactly the listed names, each with its size and SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

from bundle.errors import DigestMismatch, UnlistedFile
from bundle.manifest import FileEntry, Manifest


def check_files(manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """Raise UnlistedFile or DigestMismatch unless `files` (without manifest and signature) is what `manifest` lists."""
    check_names(manifest, files)
    for entry in manifest.files:
        check_file(entry, files[entry.name])


def check_names(manifest: Manifest, names: Collection[str]) -> None:
    """Raise UnlistedFile unless `names` are exactly the listed ones."""
    listed = {entry.name for entry in manifest.files}
    for name in sorted(set(names) - listed):
        raise UnlistedFile(
            f"{name}: expected only files that the manifest lists, found this one. Copy the bundle again."
        )
    for name in sorted(listed - set(names)):
        raise UnlistedFile(f"{name}: the manifest lists it, found no such file. Copy the bundle again.")


def check_size(entry: FileEntry, size: int) -> None:
    """Raise DigestMismatch unless `size`, in bytes, is that of the entry."""
    if size != entry.size:
        raise DigestMismatch(f"{entry.name}: manifest says {entry.size} bytes, file has {size}. Copy the bundle again.")


def check_file(entry: FileEntry, data: bytes) -> None:
    """Raise DigestMismatch unless `data` has the size and the SHA-256 of its entry."""
    check_size(entry, len(data))
    found = hashlib.sha256(data).hexdigest()
    if found != entry.sha256:
        raise DigestMismatch(
            f"{entry.name}: manifest says SHA-256 {entry.sha256[:12]}, file has {found[:12]}. Copy the bundle again."
        )
