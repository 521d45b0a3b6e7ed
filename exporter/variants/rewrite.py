"""What every rewriting of a proven graph goes through, and what both integer forms share.

In this order: fold and fuse the graph, let the form change it, take out every trace of the machine. The tools say on
the root logger what is done here already: they are quiet meanwhile. The same graph and change give the same bytes.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from bundle.reasons import first_line
from exporter.errors import ExportError
from exporter.graph import INPUT
from trainer.onnx_graph import strip_metadata


def rewrite(graph: bytes, change: Callable[[onnx.ModelProto], onnx.ModelProto], changed: str) -> bytes:
    """ONNX bytes of the changed graph. change: may change its argument.  changed: in a word, for errors.

    Raises ExportError where the graph cannot be prepared or changed.
    """
    with tempfile.TemporaryDirectory(prefix="onsight-variant-") as name, _quiet():
        source, prepared = (Path(name) / f"{stage}.onnx" for stage in ("source", "prepared"))
        source.write_bytes(graph)
        try:
            quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            model = change(onnx.load(prepared))
        except Exception as error:  # the tools raise whatever they meet
            raise ExportError(f"the graph cannot be {changed}: {first_line(error)}") from error
    strip_metadata(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def quantized(model: onnx.ModelProto, images: NDArray[np.uint8], float_nodes: set[str], **how: Any) -> onnx.ModelProto:
    """QDQ form with s8 weights per output channel, activations calibrated by their extremes on the images.

    images: uint8 (N,H,W,3).  float_nodes: names of those that stay as they are.  how: other options of
    `quantize_static`.
    """
    with tempfile.TemporaryDirectory(prefix="onsight-int8-") as name:
        out = Path(name) / "int8.onnx"
        quantize_static(
            model,
            str(out),
            _OneByOne(images),
            quant_format=QuantFormat.QDQ,
            nodes_to_exclude=sorted(float_nodes),
            per_channel=True,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            **how,
        )
        return onnx.load(out)


class _OneByOne(CalibrationDataReader):  # type: ignore[misc]
    """More images at once would only take more memory."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self._next: Iterator[NDArray[np.uint8]] = iter(images[:, None])  # (N,H,W,3) -> N of (1,H,W,3)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        image = next(self._next, None)
        return None if image is None else {INPUT: image}


@contextmanager
def _quiet() -> Iterator[None]:
    """No message below an error while the block runs."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
