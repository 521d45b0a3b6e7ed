"""A verified model on its way to an engine process: manifest and graph in a sealed memfd that all processes share.

Whoever has it can load the model again after the engine process was lost, and there is one copy of it in memory however
many web workers hold it. Sealed: nobody can change it after its digest was taken.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import struct

from bundle.manifest import Manifest, parse_manifest
from server.engines.process.wire import WireError
from server.errors import EngineError

_HEAD = struct.Struct("<?7xQ")  # whether it is private, the manifest's length
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def create_package(manifest: Manifest, graph: bytes, *, private: bool = False) -> tuple[int, bytes]:
    """Its file descriptor, and the SHA-256 of its content. private: see EngineFactory."""
    document = manifest.to_bytes()
    digest = hashlib.sha256()
    fd = os.memfd_create("onsight-model", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        for part in (_HEAD.pack(private, len(document)), document, graph):
            digest.update(part)
            left = memoryview(part)
            while left:
                left = left[os.write(fd, left) :]
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS | fcntl.F_SEAL_SEAL)
    except BaseException:
        os.close(fd)
        raise
    return fd, digest.digest()


def read_manifest(fd: int) -> Manifest:
    """The manifest alone. Raises WireError where the package is not sealed, MalformedBundle."""
    if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
        raise WireError("package: expected a sealed one")
    with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as memory:
        _, length = _HEAD.unpack_from(memory)
        return parse_manifest(memory[_HEAD.size : _HEAD.size + length])


def read_graph(fd: int, digest: bytes) -> tuple[bytes, bool]:
    """The graph, and whether it is private. Raises EngineError where the package has another digest."""
    with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as memory:
        if hashlib.sha256(memory).digest() != digest:
            raise EngineError("model: it is not what the web worker sent. Start the server again.")
        private, length = _HEAD.unpack_from(memory)
        return memory[_HEAD.size + length :], private
