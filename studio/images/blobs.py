"""Files named by the SHA-256 of the image that they hold or were made of. In a folder, or wherever fsspec reaches.

A file appears whole or not at all, under a name that says what is in it, so nothing is ever overwritten with something
else. Many are put and then synced at once: a file system writes down many changes in hardly more time than one. Who may
see a file is not decided here.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import fsspec

from studio.errors import StudioSetupError

SYNCS_AT_ONCE = 16
UNFINISHED_S = 3600  # a file is written in seconds; older ones are of a process that was killed


class Blobs(Protocol):
    """One kind of file. digest: 64 hexadecimal digits, of the image that the file is or was made of."""

    def put(self, digest: str, data: bytes) -> None:
        """Keep it, durable once it is synced. Does nothing where it is there already."""

    def sync(self, digests: Collection[str]) -> set[str]:
        """These are durable when this returns, but for those that it returns: they are gone."""

    def has(self, digest: str) -> bool: ...

    def read(self, digest: str) -> bytes:
        """Raises FileNotFoundError."""

    def path(self, digest: str) -> Path | None:
        """Where it lies on this machine's disk; None where that is elsewhere. It may not be there."""

    def remove(self, digest: str) -> None:
        """Does nothing where there is none."""

    def remove_all(self, digests: Collection[str]) -> None:
        """As `remove`, in as few requests as the store knows."""

    def digests(self) -> Iterator[str]:
        """Of every file that is kept, in no order."""

    def remove_unfinished(self) -> int:
        """Forget files that somebody began to write long ago and never will end. Returns how many."""


class FolderBlobs:
    """In a folder, 256 folders below it."""

    def __init__(self, folder: Path, suffix: str = "") -> None:
        self._folder, self._suffix = folder, suffix
        for number in range(256):
            (folder / f"{number:02x}").mkdir(parents=True, exist_ok=True)

    def put(self, digest: str, data: bytes) -> None:
        path = self.path(digest)
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size == len(data):  # else it was put and not synced when the power went
                return
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def sync(self, digests: Collection[str]) -> set[str]:
        """Files first, then the folders that name them; side by side, so that the file system takes them together."""
        if not digests:
            return set()
        files = {digest: self.path(digest) for digest in digests}
        with ThreadPoolExecutor(min(SYNCS_AT_ONCE, len(files)), thread_name_prefix="onsight-sync") as pool:
            synced = pool.map(_sync, files.values())
            gone = {digest for digest, done in zip(files, synced, strict=True) if not done}
            list(pool.map(_sync, {file.parent for file in files.values()}))
        return gone

    def has(self, digest: str) -> bool:
        return self.path(digest).exists()

    def read(self, digest: str) -> bytes:
        return self.path(digest).read_bytes()

    def path(self, digest: str) -> Path:
        return self._folder / digest[:2] / f"{digest}{self._suffix}"

    def remove(self, digest: str) -> None:
        self.path(digest).unlink(missing_ok=True)

    def remove_all(self, digests: Collection[str]) -> None:
        for digest in digests:
            self.remove(digest)

    def digests(self) -> Iterator[str]:
        for number in range(256):
            with os.scandir(self._folder / f"{number:02x}") as listing:
                for item in listing:
                    if not item.name.startswith(".") and item.name.endswith(self._suffix):
                        yield item.name.removesuffix(self._suffix)

    def remove_unfinished(self) -> int:
        old = time.time() - UNFINISHED_S
        left = [path for path in self._folder.glob("??/.*.tmp") if path.stat().st_mtime < old]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)


def _sync(path: Path) -> bool:
    """Whether it is there."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return True


class RemoteBlobs:
    """At an address that fsspec knows, such as `s3://bucket/images`; there a file is written in one call."""

    def __init__(self, url: str, suffix: str = "") -> None:
        """Raises StudioSetupError for an address that fsspec, as it is installed, does not know."""
        try:
            self._files, self._root = fsspec.url_to_fs(url, use_listings_cache=False)  # others write there too
        except (ImportError, ValueError) as error:
            raise StudioSetupError(
                f"ONSIGHT_STUDIO_IMAGES_URL: expected a folder or an address that fsspec knows, found one it does not:"
                f" {error}"
            ) from error
        self._suffix = suffix

    def put(self, digest: str, data: bytes) -> None:
        if not self.has(digest):
            self._files.pipe_file(self._place(digest), data)

    def sync(self, digests: Collection[str]) -> set[str]:
        return set()  # a call that came back is durable

    def has(self, digest: str) -> bool:
        return bool(self._files.exists(self._place(digest)))

    def read(self, digest: str) -> bytes:
        data: bytes = self._files.cat_file(self._place(digest))
        return data

    def path(self, digest: str) -> None:
        return None

    def remove(self, digest: str) -> None:
        if self.has(digest):
            self._files.rm_file(self._place(digest))

    def remove_all(self, digests: Collection[str]) -> None:
        """S3 takes a thousand in one request; a store that minds what is gone already is asked for each."""
        try:
            if digests:
                self._files.rm([self._place(digest) for digest in digests])
        except FileNotFoundError:
            for digest in digests:
                self.remove(digest)

    def digests(self) -> Iterator[str]:
        for place in self._files.find(self._root):
            yield str(place).rpartition("/")[2].removesuffix(self._suffix)

    def remove_unfinished(self) -> int:
        return 0  # there a file is written in one call

    def _place(self, digest: str) -> str:
        return f"{self._root}/{digest[:2]}/{digest}{self._suffix}"


def open_blobs(url: str | None, folder: Path) -> tuple[Blobs, Blobs]:
    """The stores of images and of thumbnails. url: of the settings; None for below `folder`."""
    if url is not None and url.startswith("file://"):
        url = url.removeprefix("file://")
        if not url.startswith("/"):
            raise StudioSetupError(
                f"ONSIGHT_STUDIO_IMAGES_URL: expected a folder or file:///absolute/path, found file://{url}."
            )
    if url is not None and "://" in url:
        return RemoteBlobs(f"{url.rstrip('/')}/originals"), RemoteBlobs(f"{url.rstrip('/')}/thumbnails", ".webp")
    root = folder if url is None else Path(url).expanduser()
    try:
        return FolderBlobs(root / "originals"), FolderBlobs(root / "thumbnails", ".webp")
    except OSError as error:
        raise StudioSetupError(
            f"{root}: expected a folder for images that can be written, found: {error.strerror}."
        ) from error
