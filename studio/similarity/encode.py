"""What an image that is in no project looks like: through the graph that `trainer.index` left, in this process."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bundle.image_limits import ImageLimits
from bundle.preprocess import preprocess
from studio.errors import NotFound
from trainer.directions import directions
from trainer.feature_cache import DIGEST_BYTES
from trainer.feature_index import FeatureIndex, read_index

_THREADS = 2


class ImageEncoder:
    """Opened at the first question; for all threads."""

    def __init__(self, cache_dir: Path) -> None:
        """cache_dir: of the install."""
        self._cache_dir = cache_dir
        self._opened: tuple[FeatureIndex, Any] | None = None
        self._lock = threading.Lock()

    def direction(self, data: bytes, limits: ImageLimits) -> NDArray[np.float32]:
        """(1, LENGTH) of the image's bytes. Raises ImageError, and NotFound while nothing was read in this install."""
        index, session = self._open()
        pixels = preprocess(data, index.preprocess, limits)[None]  # (H,W,3) -> (1,H,W,3)
        return directions(session.run(["features"], {"images": pixels})[0])

    def _open(self) -> tuple[FeatureIndex, Any]:
        index = read_index(self._cache_dir)
        with self._lock:
            if self._opened is None or self._opened[0] != index:
                self._opened = (index, _session(Path(index.graph))) if index is not None else None
            if self._opened is None:
                raise NotFound("No image of this install has been read yet. Try again in a moment.", "NOT_KNOWN")
            return self._opened


def _session(path: Path) -> Any:
    import onnxruntime  # of the extra `server`; nothing else here needs it

    try:
        data = path.read_bytes()
    except FileNotFoundError:
        data = b""
    digest, graph = data[:DIGEST_BYTES], data[DIGEST_BYTES:]
    if hashlib.sha256(graph).digest() != digest:
        raise NotFound("The network's file is damaged or gone; it is made again with the next upload.", "NOT_KNOWN")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _THREADS
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
