"""Torch module -> ONNX bytes: dynamic batch, deterministic, without a trace of the machine that made it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence

import onnx
import torch
from torch import Tensor, nn

MAX_BATCH = 256
OPSET = 20


def export_onnx(module: nn.Module, example: Tensor, *, input_name: str, output_names: Sequence[str]) -> bytes:
    """Export a module of one input whose first dimension is the batch.

    example: (2 or more, ...); a batch of one would be baked in. The same weights give the same bytes in any process:
    node metadata (file paths, stack traces) is stripped.
    Raises RuntimeError where the exported graph has no dynamic batch or fails ONNX's full check.
    """
    if len(example) < 2:
        raise ValueError(f"example: expected a batch of 2 or more, found {len(example)}")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    batch = torch.export.Dim("batch", min=1, max=MAX_BATCH)
    module.eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            dynamic_shapes=({0: batch},),
            input_names=[input_name],
            output_names=list(output_names),
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    strip_metadata(model)
    for value in (*model.graph.input, *model.graph.output):
        dim = value.type.tensor_type.shape.dim[0]
        if not dim.dim_param:
            raise RuntimeError(f"{value.name}: expected a batch of any size, found one of {dim.dim_value}")
        dim.dim_param = "batch"
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def strip_metadata(model: onnx.ModelProto) -> None:
    """Take out who made a graph, and from what: file paths and stack traces among it."""
    model.producer_name = "onsight"
    model.producer_version = ""
    model.doc_string = ""
    del model.metadata_props[:]
    graph = model.graph
    graph.name = "classifier"
    graph.doc_string = ""
    for part in (
        graph,
        *graph.node,
        *graph.input,
        *graph.output,
        *graph.value_info,
        *graph.initializer,
        *model.functions,
    ):
        part.doc_string = ""
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]
    for function in model.functions:
        for node in function.node:
            node.doc_string = ""
            del node.metadata_props[:]
