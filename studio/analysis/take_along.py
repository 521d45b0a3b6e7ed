"""A split's predictions as a zip, made while it is sent: the table, and each image, small, below its truth and answer.

An entry is read, written and forgotten before the next one; nothing is kept on the disk.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from studio.analysis.scores import Scored
from studio.zip_stream import ZipSink, folder_name

_NONE: Final = "(none)"


def zip_parts(
    lines: Iterable[str], scored: Scored, thresholds: NDArray[np.float32], files: Iterable[tuple[str, str | None]],
    read_thumbnail: Callable[[str], bytes],
) -> Iterator[bytes]:  # fmt: skip
    """files: of each of the N images in order, its path and its digest, None where it is no more.

    read_thumbnail: the bytes by the digest; raises FileNotFoundError.
    """
    decided, sink = scored.decided(thresholds), ZipSink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        with archive.open("predictions.csv", "w", force_zip64=True) as table:
            for line in lines:
                table.write(line.encode())
        yield sink.take()
        for number, (path, digest) in enumerate(files):
            if digest is None:
                continue
            try:
                data = read_thumbnail(digest)
            except FileNotFoundError:
                continue
            truth, said = (_folder(scored.labels, row[number]) for row in (scored.truth, decided))
            archive.writestr(f"{truth}/{said}/{path.rpartition('.')[0]}.webp", data)
            yield sink.take()
    yield sink.take()


def _folder(labels: tuple[str, ...], carried: NDArray[np.bool_]) -> str:
    names = [labels[place] for place in np.flatnonzero(carried).tolist()]
    return folder_name("+".join(names)) or _NONE
