"""Optimise a graph once for all processes of a server: weights in a file that they map, and share.

ONNX Runtime writes the optimised graph and its weights apart; sessions made from those files hold no weights of their
own, load in a fifth of the time, and answer the same. The files live in the run folder (see RunFolder), until a process
closes the model; they are made anew from the verified bytes at each start, so nobody else's graph is ever run.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

GRAPH, WEIGHTS = "graph.onnx", "weights.bin"
MIN_SHARED_BYTES = 1024


@contextlib.contextmanager
def prepared_graph(graph: bytes, folder: Path, options: Callable[[], Any]) -> Iterator[Path]:
    """The path of the optimised form of `graph`, made by the first process that asks; it stays until the block ends.

    folder: for this runtime and these options alone.  options: makes fresh SessionOptions.  Raises what the runtime
    raises, OSError where the folder cannot be written.
    """
    target = folder / hashlib.sha256(graph).hexdigest()
    with _locked(folder):
        if not (target / GRAPH).exists():
            _prepare(graph, target, options)
        yield target / GRAPH


def forget_prepared(path: Path) -> None:
    """Remove what `prepared_graph` named: sessions that are open have mapped it, and a later one makes it anew.

    Without this every model that was ever swapped out would take its place on the disk until the server ends.
    """
    with contextlib.suppress(OSError), _locked(path.parent.parent):
        shutil.rmtree(path.parent)


def _prepare(graph: bytes, target: Path, options: Callable[[], Any]) -> None:
    import onnxruntime as ort

    building = target.with_suffix(".building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    try:
        settings = options()
        settings.optimized_model_filepath = str(building / GRAPH)
        settings.add_session_config_entry("session.optimized_model_external_initializers_file_name", WEIGHTS)
        settings.add_session_config_entry(
            "session.optimized_model_external_initializers_min_size_in_bytes", str(MIN_SHARED_BYTES)
        )
        ort.InferenceSession(graph, settings, providers=["CPUExecutionProvider"])
        building.rename(target)
    except BaseException:
        with contextlib.suppress(OSError):
            shutil.rmtree(building)
        raise


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
