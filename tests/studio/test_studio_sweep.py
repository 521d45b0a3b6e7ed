"""What a process that was killed leaves of files it had begun."""

from __future__ import annotations

import os
import time

from studio_rig import Workplace

from studio.images.blobs import UNFINISHED_S, FolderBlobs
from studio.images.orphans import sweep


def test_a_file_that_was_never_written_to_its_end_is_swept_once_it_is_old(work: Workplace) -> None:
    parts = work.rig.parts
    work.add_images(2)
    assert isinstance(parts.originals, FolderBlobs)
    folder = parts.originals.path("ab" * 32).parent
    old, new = folder / ".old.0123.tmp", folder / ".new.0123.tmp"
    for path in (old, new):
        path.write_bytes(b"half")
    long_ago = time.time() - UNFINISHED_S - 60
    os.utime(old, (long_ago, long_ago))
    assert sweep(parts.database, (parts.originals, parts.thumbnails)) == 0
    assert (old.exists(), new.exists()) == (False, True)
    assert len(list(parts.originals.digests())) == 2
