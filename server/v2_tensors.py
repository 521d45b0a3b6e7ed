"""The Open Inference Protocol's tensors: JSON or binary, in and out. Pure functions of bytes; knows no model.

A request is JSON, and with the binary extension JSON followed by the raw tensors in order. Every declared size is
compared with what is there before anything is made of it, so a small request can never ask for a large allocation.
Source: the protocol's text (kserve/open-inference-protocol) and Triton's binary data extension.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.json_input import parse_object
from server.problems import Problem

INPUT_DATATYPES = ("BYTES", "UINT8")  # no model takes another
OUTPUT_DTYPE = np.dtype("<f4")  # of FP32
MAX_DIMENSIONS = 4
MAX_TENSORS = 8
MAX_JSON_VALUES = 16_000_000  # 64 images of 224 by 224 pixels, number by number, and some more
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class InputTensor:
    """One input. data: an array of the declared shape, or for BYTES the elements in row-major order."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: NDArray[Any] | tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class WantedOutput:
    """binary: raw bytes behind the JSON.  classes: Triton's classification extension, 0 for the tensor itself."""

    name: str
    binary: bool
    classes: int = 0


@dataclass(frozen=True, slots=True)
class InferRequest:
    """outputs: empty where the client wants all; binary_default: how, in that case."""

    id: str
    inputs: tuple[InputTensor, ...]
    outputs: tuple[WantedOutput, ...]
    binary_default: bool


@dataclass(frozen=True, slots=True)
class OutputTensor:
    name: str
    datatype: str
    shape: tuple[int, ...]
    data: NDArray[Any] | Sequence[bytes]
    binary: bool


def parse_request(body: bytes, json_length: int | None, max_images: int) -> InferRequest:
    """json_length: of the header Inference-Header-Content-Length, None without it. max_images: of a batch.

    Raises Problem (400) that says what was expected and what was found.
    """
    if json_length is not None and not 0 < json_length <= len(body):
        raise _refused(f"Inference-Header-Content-Length: expected 1 to {len(body)}, found {json_length}.")
    document = _read_json(body[:json_length])
    raw = memoryview(body)[json_length or len(body) :]
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or not 1 <= len(inputs) <= MAX_TENSORS:
        raise _refused(f"inputs: expected a list of 1 to {MAX_TENSORS} tensors.")
    parsed, at = [], 0
    for entry in inputs:
        tensor, used = _parse_input(entry, raw[at:], max_images)
        parsed.append(tensor)
        at += used
    if at != len(raw):
        raise _refused(f"binary data: expected {at} bytes behind the JSON, found {len(raw)}.")
    parameters = _parameters(document)
    outputs = document.get("outputs", [])
    if not isinstance(outputs, list) or len(outputs) > MAX_TENSORS:
        raise _refused(f"outputs: expected a list of at most {MAX_TENSORS} names.")
    binary_default = parameters.get("binary_data_output", False) is True
    request_id = document.get("id", "")
    if not isinstance(request_id, str) or len(request_id) > 256:
        raise _refused("id: expected text of at most 256 characters.")
    return InferRequest(
        request_id, tuple(parsed), tuple(_parse_output(entry, binary_default) for entry in outputs), binary_default
    )


def encode_answer(document: dict[str, Any], outputs: Sequence[OutputTensor]) -> tuple[bytes, int | None]:
    """The body, and the length of its JSON part where binary tensors follow.

    document: everything of the answer but its outputs.
    """
    entries, blobs = [], []
    for output in outputs:
        entry: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": list(output.shape)}
        if output.binary:
            blob = _to_binary(output)
            entry["parameters"] = {"binary_data_size": len(blob)}
            blobs.append(blob)
        elif isinstance(output.data, np.ndarray):
            entry["data"] = output.data.ravel().tolist()
        else:
            entry["data"] = [element.decode("utf-8", "replace") for element in output.data]
        entries.append(entry)
    head = json.dumps({**document, "outputs": entries}, separators=(",", ":")).encode()
    return head + b"".join(blobs), len(head) if blobs else None


def _to_binary(output: OutputTensor) -> bytes:
    if isinstance(output.data, np.ndarray):
        return output.data.astype(OUTPUT_DTYPE, copy=False).tobytes()
    return b"".join(_LENGTH.pack(len(element)) + element for element in output.data)


def _parse_input(entry: Any, raw: memoryview, max_images: int) -> tuple[InputTensor, int]:
    """The tensor, and how many of the raw bytes are its own."""
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise _refused("inputs: expected objects with name, datatype, shape and data.")
    name, datatype, parameters = entry["name"][:100], entry.get("datatype"), _parameters(entry)
    if any(key.startswith("shared_memory") for key in parameters):
        raise _refused("shared memory: not offered here. Send the data with the request.")
    if datatype not in INPUT_DATATYPES:
        raise _refused(f"input {name!r}: expected datatype BYTES or UINT8, found {str(datatype)[:40]!r}.")
    shape = _parse_shape(name, entry.get("shape"))
    count = math.prod(shape)
    images = count if datatype == "BYTES" else shape[0]  # each element of BYTES is an image, whatever the shape
    if images > max_images:
        raise _refused(f"input {name!r}: expected at most {max_images} images in a request, found {images}.")
    size = parameters.get("binary_data_size")
    if size is None:
        return InputTensor(name, datatype, shape, _from_json(name, datatype, shape, entry.get("data"))), 0
    if "data" in entry:
        raise _refused(f"input {name!r}: expected data or binary_data_size, found both.")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(raw):
        raise _refused(f"input {name!r}: binary_data_size: expected at most the {len(raw)} bytes that are left.")
    if datatype == "BYTES":
        return InputTensor(name, datatype, shape, _split_bytes(name, raw[:size], count)), size
    if size != count:
        raise _refused(f"input {name!r}: expected {count} bytes for its shape, found {size}.")
    return InputTensor(name, datatype, shape, np.frombuffer(raw[:size], np.uint8).reshape(shape)), size


def _parse_shape(name: str, shape: Any) -> tuple[int, ...]:
    whole = isinstance(shape, list) and all(isinstance(side, int) and not isinstance(side, bool) for side in shape)
    if not whole or not 1 <= len(shape) <= MAX_DIMENSIONS or any(not 1 <= side <= 65_536 for side in shape):
        raise _refused(f"input {name!r}: shape: expected 1 to {MAX_DIMENSIONS} whole numbers from 1 to 65536.")
    return tuple(shape)


def _split_bytes(name: str, raw: memoryview, count: int) -> tuple[bytes, ...]:
    """Elements of 4 bytes little-endian length and data, exactly `count` of them."""
    elements: list[bytes] = []
    at = 0
    while at < len(raw) and len(elements) < count:
        if at + _LENGTH.size > len(raw):
            break
        (length,) = _LENGTH.unpack_from(raw, at)
        at += _LENGTH.size
        if length > len(raw) - at:
            raise _refused(f"input {name!r}: an element claims {length} bytes, {len(raw) - at} are left.")
        elements.append(bytes(raw[at : at + length]))
        at += length
    if len(elements) != count or at != len(raw):
        raise _refused(f"input {name!r}: expected {count} elements that fill its {len(raw)} bytes.")
    return tuple(elements)


def _from_json(name: str, datatype: str, shape: tuple[int, ...], data: Any) -> NDArray[Any] | tuple[bytes, ...]:
    count = math.prod(shape)
    flat: list[Any] = []
    _flatten(data, flat, count, MAX_DIMENSIONS)
    if len(flat) != count:
        raise _refused(f"input {name!r}: data: expected {count} elements for its shape, found {_counted(flat, count)}.")
    if datatype == "BYTES":
        if not all(isinstance(element, str) for element in flat):
            raise _refused(f"input {name!r}: data: expected text. Send images with the binary extension, or to /v1.")
        return tuple(element.encode("latin-1", "replace") for element in flat)
    if not all(isinstance(element, int) and not isinstance(element, bool) and 0 <= element <= 255 for element in flat):
        raise _refused(f"input {name!r}: data: expected whole numbers from 0 to 255.")
    return np.array(flat, np.uint8).reshape(shape)


def _flatten(data: Any, flat: list[Any], count: int, depth: int) -> None:
    """Row-major elements of nested or flat lists; stops when there are too many."""
    if not isinstance(data, list):
        flat.append(data)
    elif depth >= 0:
        for element in data:
            if len(flat) > count:
                return
            _flatten(element, flat, count, depth - 1)


def _counted(flat: list[Any], count: int) -> str:
    return "more" if len(flat) > count else str(len(flat))


def _parse_output(entry: Any, binary_default: bool) -> WantedOutput:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise _refused("outputs: expected objects with a name.")
    parameters = _parameters(entry)
    if any(key.startswith("shared_memory") for key in parameters):
        raise _refused("shared memory: not offered here. The answer carries the data.")
    classes = parameters.get("classification", 0)
    if not isinstance(classes, int) or isinstance(classes, bool) or not 0 <= classes <= 65_536:
        raise _refused("classification: expected a whole number of classes.")
    return WantedOutput(entry["name"][:100], parameters.get("binary_data", binary_default) is True, classes)


def _parameters(document: dict[str, Any]) -> dict[str, Any]:
    parameters = document.get("parameters", {})
    if not isinstance(parameters, dict):
        raise _refused("parameters: expected an object.")
    return parameters


def _read_json(data: bytes) -> dict[str, Any]:
    document = parse_object(data, MAX_JSON_VALUES)
    if document is None:
        raise _refused(
            f"Expected a JSON object of at most {MAX_JSON_VALUES} values as the request's body. Send larger ones with"
            " the binary extension."
        )
    return document


def _refused(detail: str) -> Problem:
    return Problem(400, "V2_REQUEST_INVALID", detail)
