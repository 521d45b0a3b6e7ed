"""The v2 protocol's framing, as pure functions: what is written is read, and nothing else is."""

from __future__ import annotations

import json
import struct
import tracemalloc
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from server.json_input import parse_object
from server.problems import Problem
from server.v2_tensors import OutputTensor, encode_answer, parse_request

names = st.text("abcdefgh_", min_size=1, max_size=8)
elements = st.lists(st.binary(max_size=40), min_size=1, max_size=6)


@settings(max_examples=100, deadline=None)
@given(name=names, data=elements, pixels=st.lists(st.integers(0, 255), min_size=6, max_size=6))
def test_binary_tensors_come_out_as_they_went_in(name: str, data: list[bytes], pixels: list[int]) -> None:
    first = b"".join(struct.pack("<I", len(element)) + element for element in data)
    second = bytes(pixels)
    head = json.dumps(
        {
            "id": "7",
            "inputs": [
                {"name": name, "datatype": "BYTES", "shape": [len(data)],
                 "parameters": {"binary_data_size": len(first)}},
                {"name": "p", "datatype": "UINT8", "shape": [1, 2, 3], "parameters": {"binary_data_size": 6}},
            ],
        }
    ).encode()  # fmt: skip
    request = parse_request(head + first + second, len(head), max_images=8)
    assert (request.id, request.inputs[0].name, request.inputs[0].data) == ("7", name, tuple(data))
    assert isinstance(request.inputs[1].data, np.ndarray)
    assert request.inputs[1].data.ravel().tolist() == pixels


def status_of(body: bytes, length: int | None) -> int:
    try:
        parse_request(body, length, max_images=4)
    except Problem as problem:
        return int(problem.status)
    return 200


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=200), length=st.none() | st.integers(-1, 300))
def test_any_bytes_are_read_or_refused(body: bytes, length: int | None) -> None:
    assert status_of(body, length) in (200, 400)


def test_images_in_any_shape_count_as_images() -> None:
    for shape in ([5], [1, 5], [1, 1, 5], [5, 1]):
        one = {"name": "image", "datatype": "BYTES", "shape": shape, "parameters": {"binary_data_size": 20}}
        head = json.dumps({"inputs": [one]}).encode()
        assert status_of(head + bytes(20), len(head)) == 400
    one = {"name": "image", "datatype": "BYTES", "shape": [2, 2], "parameters": {"binary_data_size": 16}}
    head = json.dumps({"inputs": [one]}).encode()
    assert status_of(head + bytes(16), len(head)) == 200


def test_json_of_more_values_than_a_request_can_mean_is_refused_before_it_takes_memory() -> None:
    small = b'{"inputs": [' + b"[]," * 300_000 + b"[]]}"
    tracemalloc.start()
    try:
        assert parse_object(small, 100_000) is None
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert parse_object(small) is not None
    assert [parse_object(data) for data in (b"", b"[1]", b"{", b"[" * 100_000, b"\xff")] == [None] * 5


leaf = st.none() | st.booleans() | st.integers(-5, 300) | st.text(max_size=5) | st.floats(allow_nan=False)
tree = st.recursive(
    leaf,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["name", "datatype", "shape", "data", "parameters", "binary_data_size", "inputs", "outputs"]
            ),
            inner,
            max_size=5,
        )
    ),
)


@settings(max_examples=300, deadline=None)
@given(
    document=st.fixed_dictionaries(
        {
            "inputs": st.lists(
                st.fixed_dictionaries(
                    {
                        "name": st.just("image"),
                        "datatype": st.sampled_from(["BYTES", "UINT8", "FP32"]) | leaf,
                        "shape": tree,
                        "data": tree,
                        "parameters": tree,
                    }
                ),
                max_size=3,
            ),
            "outputs": tree,
            "parameters": tree,
        }
    ),
    raw=st.binary(max_size=60),
)
def test_any_document_is_read_or_refused(document: dict[str, Any], raw: bytes) -> None:
    head = json.dumps(document).encode()
    assert status_of(head + raw, len(head)) in (200, 400)


def test_an_answer_is_json_and_then_its_binary_tensors_in_order() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    body, length = encode_answer(
        {"model_name": "m"},
        [
            OutputTensor("a", "FP32", (2, 3), values, True),
            OutputTensor("b", "BYTES", (1,), [b"xyz"], True),
            OutputTensor("c", "FP32", (2, 3), values, False),
        ],
    )
    assert length is not None
    document, raw = json.loads(body[:length]), body[length:]
    sizes = [each.get("parameters", {}).get("binary_data_size") for each in document["outputs"]]
    assert sizes == [24, 7, None]
    assert np.frombuffer(raw[:24], "<f4").tolist() == values.ravel().tolist()
    assert raw[24:] == b"\x03\x00\x00\x00xyz"
    assert document["outputs"][2]["data"] == values.ravel().tolist()
