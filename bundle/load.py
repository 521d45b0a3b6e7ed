"""Verify a bundle, in this order: archive limits, signature, parse, names, digests. Never executes model code.

Until the signature has been verified, only `manifest.json` and `manifest.sig` are read, and the manifest is not parsed.
What comes after it, the golden replay on the machine that serves, needs a runtime and is `bundle.golden.replay_golden`.
Never uses the network and never writes, except `unpack_bundle` into its fresh folder, after everything is verified.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from bundle.archive import Archive, ArchiveLimits, open_archive
from bundle.digests import check_file, check_names, check_size
from bundle.errors import MalformedBundle
from bundle.files import sync_folder, write_atomically
from bundle.manifest import MANIFEST_NAME, SIGNATURE_NAME, Manifest, parse_manifest
from bundle.sealed import Opener
from bundle.signature import MAX_SIGNATURE_FILE_BYTES, verify_manifest
from bundle.trust import TrustStore

MAX_MANIFEST_BYTES: Final = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class VerifiedManifest:
    """A manifest whose signature a trusted key vouches for; the bundle's other files have not been looked at."""

    manifest: Manifest
    manifest_bytes: bytes
    signature_bytes: bytes
    key_id: str

    @property
    def manifest_sha256(self) -> str:
        """64 hexadecimal digits that name this bundle: the manifest lists every other file's digest."""
        return hashlib.sha256(self.manifest_bytes).hexdigest()


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle in memory. files: every listed file by name, without manifest and signature.

    sealed: it came encrypted, so that nothing of `files` is to be written to a disk.
    """

    manifest: Manifest
    files: Mapping[str, bytes]
    manifest_sha256: str
    key_id: str
    path: Path
    sealed: bool = False


def load_bundle(
    path: Path, trust: TrustStore, limits: ArchiveLimits | None = None, opener: Opener | None = None
) -> Bundle:
    """Read and verify the bundle (zip, plain or sealed, or folder) at `path`.

    opener: this install's key, for a sealed one.
    Raises a BundleError (MalformedBundle, WrongRecipient, SignatureMismatch, UnsupportedSchema, UnlistedFile,
    DigestMismatch) or a TrustError (UntrustedKey, KeyFileError).
    """
    with open_archive(path, limits, opener) as archive:
        verified, files = _verify(archive, trust)
        return _bundle(verified, files, path, sealed=archive.sealed)


def read_manifest(
    path: Path, trust: TrustStore, limits: ArchiveLimits | None = None, opener: Opener | None = None
) -> VerifiedManifest:
    """Only the first steps, to list bundles fast: limits, signature, parse, names. Raises as `load_bundle` does."""
    with open_archive(path, limits, opener) as archive:
        return _verify_manifest(archive, trust)


def unpack_bundle(
    path: Path, out_dir: Path, trust: TrustStore, limits: ArchiveLimits | None = None, opener: Opener | None = None
) -> Bundle:
    """Verify the bundle at `path`, then write its files, in plain, into the folder `out_dir`, which must not exist yet.

    Raises as `load_bundle` does, MalformedBundle where `out_dir` exists; nothing is written before all is verified.
    """
    with open_archive(path, limits, opener) as archive:
        verified, files = _verify(archive, trust)
    try:
        out_dir.mkdir()
    except OSError as error:
        raise MalformedBundle(
            f"{out_dir}: expected to make this folder, found {error.strerror or error}. Choose a new name in a folder"
            " that exists."
        ) from error
    try:
        own = {MANIFEST_NAME: verified.manifest_bytes, SIGNATURE_NAME: verified.signature_bytes}
        for name, data in {**files, **own}.items():
            write_atomically(out_dir / name, data)
        sync_folder(out_dir.parent)
    except BaseException:
        shutil.rmtree(out_dir, ignore_errors=True)
        raise
    return _bundle(verified, files, out_dir, sealed=False)


def _bundle(verified: VerifiedManifest, files: dict[str, bytes], path: Path, *, sealed: bool) -> Bundle:
    digest = verified.manifest_sha256
    return Bundle(verified.manifest, MappingProxyType(files), digest, verified.key_id, path, sealed)


def _verify(archive: Archive, trust: TrustStore) -> tuple[VerifiedManifest, dict[str, bytes]]:
    verified = _verify_manifest(archive, trust)
    return verified, read_listed(archive, verified.manifest)


def _verify_manifest(archive: Archive, trust: TrustStore) -> VerifiedManifest:
    manifest_bytes, signature_bytes = read_signed(archive)
    key_id = verify_manifest(manifest_bytes, signature_bytes, trust)
    manifest = parse_manifest(manifest_bytes)
    _check_names(archive, manifest)
    return VerifiedManifest(manifest, manifest_bytes, signature_bytes, key_id)


def read_signed(archive: Archive) -> tuple[bytes, bytes]:
    """The bytes of the manifest and of its signature, neither parsed nor believed yet. Raises MalformedBundle."""
    return (
        _read_small(archive, MANIFEST_NAME, MAX_MANIFEST_BYTES),
        _read_small(archive, SIGNATURE_NAME, MAX_SIGNATURE_FILE_BYTES),
    )


def read_listed(archive: Archive, manifest: Manifest) -> dict[str, bytes]:
    """Every file of the archive beside these two, held against the manifest, which must have been verified.

    Raises UnlistedFile, DigestMismatch or MalformedBundle.
    """
    _check_names(archive, manifest)
    files = {}
    for entry in manifest.files:
        check_size(entry, archive.sizes[entry.name])  # before gigabytes that nobody signed are in memory
        files[entry.name] = archive.read(entry.name)
        check_file(entry, files[entry.name])
    return files


def _check_names(archive: Archive, manifest: Manifest) -> None:
    check_names(manifest, archive.sizes.keys() - {MANIFEST_NAME, SIGNATURE_NAME})


def _read_small(archive: Archive, name: str, limit: int) -> bytes:
    if name not in archive.sizes:
        raise MalformedBundle(f"{name}: expected this file in the bundle, found none. Export the bundle again.")
    if archive.sizes[name] > limit:
        raise MalformedBundle(
            f"{name}: expected at most {limit} bytes, found {archive.sizes[name]}. Export the bundle again."
        )
    return archive.read(name)
