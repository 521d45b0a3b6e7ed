"""Make a signed bundle: describe the files, then write manifest, signature and files as one archive.

Checks that the manifest lists exactly the files at hand before anything is written. Never changes the manifest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from bundle.archive import write_archive
from bundle.digests import check_files
from bundle.keys import SigningKey
from bundle.manifest import MANIFEST_NAME, SIGNATURE_NAME, FileEntry, Manifest, parse_manifest
from bundle.sealed import Recipient
from bundle.signature import sign_manifest


def describe_files(files: Mapping[str, bytes]) -> tuple[FileEntry, ...]:
    """The `files` field of a manifest, sorted by name: name, size in bytes and SHA-256 of each."""
    return tuple(
        FileEntry(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())
        for name, data in sorted(files.items())
    )


def pack_bundle(
    out: Path, manifest: Manifest, files: Mapping[str, bytes], key: SigningKey, recipients: Sequence[Recipient] = ()
) -> None:
    """Write the bundle to `out`, whole or not at all; the same input gives the same bytes.

    files: every file that the manifest lists, and no other.
    recipients: seal it, so that they alone can open it (then no two writings are alike); none: a plain one.
    Raises UnlistedFile or DigestMismatch where manifest and files disagree, MalformedBundle for what no archive holds.
    """
    manifest_bytes = manifest.to_bytes()
    parse_manifest(manifest_bytes)  # what is signed can be read again
    check_files(manifest, files)
    signature = sign_manifest(manifest_bytes, key)
    write_archive(out, {MANIFEST_NAME: manifest_bytes, SIGNATURE_NAME: signature, **files}, recipients)
