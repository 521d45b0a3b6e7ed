"""Which nodes of a served graph stay in full precision: what prepares the image, and the head."""

from __future__ import annotations

import onnx

HEAD = "classifier.head."  # its weights' names begin so


def nodes_before_first_convolution(graph: onnx.GraphProto) -> set[str]:
    """Names of all nodes that the first convolution needs: cast, layout, normalisation. Empty without one."""
    first = first_convolution(graph)
    if first is None:
        return set()
    producers = {output: node for node in graph.node for output in node.output}
    found: set[str] = set()
    waiting = [first]
    while waiting:
        node = waiting.pop()
        before = [producers[name] for name in node.input if name in producers]
        found.update(each.name for each in before)
        waiting += before
    return found


def first_convolution(graph: onnx.GraphProto) -> onnx.NodeProto | None:
    return next((node for node in graph.node if node.op_type == "Conv"), None)


def head_nodes(graph: onnx.GraphProto) -> set[str]:
    """Names of the head's nodes and of all that follows: its own normalisation, logits, temperature, probabilities."""
    after: set[str] = {tensor.name for tensor in graph.initializer if tensor.name.startswith(HEAD)}
    found: set[str] = set()
    for node in graph.node:  # ONNX orders them: inputs before their use
        if after.intersection(node.input):
            after.update(node.output)
            found.add(node.name)
    return found


def float_nodes(graph: onnx.GraphProto) -> set[str]:
    """Names of the nodes up to the first convolution, it included, and from the head's first node on."""
    first = first_convolution(graph)
    kept = nodes_before_first_convolution(graph) | head_nodes(graph)
    return kept if first is None else kept | {first.name}
