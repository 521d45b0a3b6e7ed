"""The Open Inference Protocol as its clients speak it: Triton's own Python client, and requests made by hand."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from color_bundle import BLUE, GREEN, LABELS, RED, SIDE
from running_server import Served

from bundle.manifest import PreprocessSpec
from bundle.preprocess import preprocess

# gevent, below Triton's client, warns about what it replaces when it is imported
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
SPEC = PreprocessSpec(height=SIDE, width=SIDE)
MODEL = "/v2/models/colours"


@pytest.fixture(scope="module")
def triton() -> Any:
    import tritonclient.http

    return tritonclient.http


@pytest.fixture
def client(triton: Any, served: Served) -> Iterator[Any]:
    client = triton.InferenceServerClient(f"127.0.0.1:{served.server.port}", concurrency=4)
    yield client
    client.close()


def headers(served: Served, scope: str = "predict") -> dict[str, str]:
    return {"X-Auth-token": served.tokens[scope]}  # type: ignore[index]


def test_triton_sees_server_and_models(client: Any, served: Served) -> None:
    auth = headers(served)
    assert client.is_server_live(auth)
    assert client.is_server_ready(auth)
    assert client.is_model_ready("colours", headers=auth)
    assert client.is_model_ready("colours", "1", headers=auth)
    assert not client.is_model_ready("absent", headers=auth)
    assert client.get_server_metadata(auth)["name"] == "onsight"
    metadata = client.get_model_metadata("shop__goods", headers=auth)
    assert {each["name"]: (each["datatype"], each["shape"]) for each in metadata["inputs"]} == {
        "image": ("BYTES", [-1]),
        "images": ("UINT8", [-1, SIDE, SIDE, 3]),
    }
    config = client.get_model_config("colours", headers=auth)
    assert client.get_model_config("colours", "1", headers=auth)["name"] == "colours"
    assert client.get_model_metadata("colours", "1", headers=auth)["versions"] == ["1"]
    assert config["output"][0] == {"name": "probabilities", "data_type": "TYPE_FP32", "dims": [3]}
    index = client.get_model_repository_index(headers(served, "admin"))
    assert {each["name"]: each["state"] for each in index} == {"colours": "READY", "shop__goods": "READY"}


@pytest.mark.parametrize("binary", [True, False])
def test_triton_sends_preprocessed_tensors(triton: Any, client: Any, served: Served, binary: bool) -> None:
    images = np.stack([preprocess(image, SPEC) for image in (RED, GREEN, BLUE)])
    tensor = triton.InferInput("images", list(images.shape), "UINT8")
    tensor.set_data_from_numpy(images, binary_data=binary)
    wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("probabilities", "logits")]
    result = client.infer("colours", [tensor], outputs=wanted, headers=headers(served), request_id="mine")
    assert result.get_response()["id"] == "mine"
    assert result.get_response()["model_version"] == "1"
    probabilities = result.as_numpy("probabilities")
    assert probabilities.dtype == np.float32
    assert probabilities.argmax(axis=1).tolist() == [0, 1, 2]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_triton_sends_image_files_and_gets_decisions(triton: Any, client: Any, served: Served) -> None:
    files = np.array([RED, GREEN, BLUE], dtype=np.object_)
    tensor = triton.InferInput("image", [3], "BYTES")
    tensor.set_data_from_numpy(files)
    result = client.infer("colours", [tensor], model_version="1", headers=headers(served))  # all outputs, as binary
    decisions = [json.loads(text) for text in result.as_numpy("decision").ravel()]
    assert [decision["labels"] for decision in decisions] == [[label] for label in LABELS]
    assert result.as_numpy("logits").shape == (3, 3)
    top = triton.InferRequestedOutput("probabilities", class_count=2)
    result = client.infer("colours", [tensor], outputs=[top], headers=headers(served))
    found = result.as_numpy("probabilities")
    assert found.shape == (3, 2)
    assert [entry.decode().split(":")[2] for entry in found[:, 0]] == list(LABELS)


def test_triton_asks_many_times_at_once(triton: Any, client: Any, served: Served) -> None:
    pending = []
    for image in (RED, GREEN, BLUE) * 8:
        tensor = triton.InferInput("image", [1, 1], "BYTES")
        tensor.set_data_from_numpy(np.array([[image]], dtype=np.object_))
        pending.append(client.async_infer("colours", [tensor], headers=headers(served)))
    found = [json.loads(each.get_result().as_numpy("decision")[0, 0])["labels"][0] for each in pending]
    assert found == list(LABELS) * 8


def test_triton_chooses_outputs_and_how_each_comes(triton: Any, client: Any, served: Served) -> None:
    tensor = triton.InferInput("image", [2], "BYTES")
    tensor.set_data_from_numpy(np.array([BLUE, RED], dtype=np.object_))
    wanted = [
        triton.InferRequestedOutput("logits", binary_data=True),
        triton.InferRequestedOutput("decision", binary_data=False),
        triton.InferRequestedOutput("probabilities", binary_data=False, class_count=9),
    ]
    result = client.infer("colours", [tensor], outputs=wanted, headers=headers(served))
    outputs = result.get_response()["outputs"]
    assert [each["name"] for each in outputs] == ["logits", "decision", "probabilities"]
    assert ["data" in each for each in outputs] == [False, True, True]
    assert result.as_numpy("logits").argmax(axis=1).tolist() == [2, 0]
    classes = result.as_numpy("probabilities")  # three, for there are no more
    assert str(classes[0, 0]).endswith(":2:blue")
    assert classes.shape == (2, 3)
    with pytest.raises(Exception, match="expected 'probabilities', 'logits' or 'decision'"):
        client.infer("colours", [tensor], outputs=[triton.InferRequestedOutput("secrets")], headers=headers(served))


def test_triton_reads_statistics_that_grow_with_every_request(triton: Any, client: Any, served: Served) -> None:
    auth = headers(served)

    def statistics() -> dict[str, Any]:
        (found,) = client.get_inference_statistics("colours", headers=auth)["model_stats"]
        return dict(found)

    tensor = triton.InferInput("image", [2], "BYTES")
    tensor.set_data_from_numpy(np.array([RED, GREEN], dtype=np.object_))
    client.infer("colours", [tensor], headers=auth)
    before = statistics()
    for _ in range(3):
        client.infer("colours", [tensor], headers=auth)
    assert served.server.ask("POST", "/v1/predict/default/colours", b"no image", served.token).status == 415
    after = statistics()
    assert (after["name"], after["version"]) == ("colours", "1")
    assert after["inference_count"] - before["inference_count"] == 6
    assert after["execution_count"] - before["execution_count"] == 3
    assert after["last_inference"] >= before["last_inference"] > 1_700_000_000_000
    old, new = before["inference_stats"], after["inference_stats"]
    assert new["success"]["count"] - old["success"]["count"] == 3
    assert new["fail"]["count"] - old["fail"]["count"] == 1
    parts = sum(new[name]["ns"] - old[name]["ns"] for name in ("queue", "compute_input", "compute_infer"))
    assert 0 < parts <= new["success"]["ns"] - old["success"]["ns"]
    assert client.get_inference_statistics("colours", "1", headers=auth)["model_stats"][0]["name"] == "colours"
    every = client.get_inference_statistics(headers=auth)["model_stats"]
    assert [each["name"] for each in every] == ["colours", "shop__goods"]
    with pytest.raises(Exception, match="No model of this name"):
        client.get_inference_statistics("absent", headers=auth)


def test_triton_unloads_and_loads_by_name_alone(client: Any, served: Served) -> None:
    admin = headers(served, "admin")
    with pytest.raises(Exception, match="scope"):
        client.unload_model("shop__goods", headers=headers(served))
    for arguments in ({"config": "{}"}, {"files": {"file:1/model.onnx": b"x"}, "config": "{}"}):
        with pytest.raises(Exception, match="parameters: expected"):
            client.load_model("shop__goods", headers=admin, **arguments)
    client.unload_model("shop__goods", headers=admin)
    try:
        assert not client.is_model_ready("shop__goods", headers=headers(served))
        index = {each["name"]: each["state"] for each in client.get_model_repository_index(admin)}
        assert index == {"colours": "READY", "shop__goods": "UNAVAILABLE"}
    finally:
        client.load_model("shop__goods", headers=admin)
    assert client.is_model_ready("shop__goods", headers=headers(served))


def test_shared_memory_is_refused_and_nothing_is_said_of_this_machine(triton: Any, client: Any, served: Served) -> None:
    auth = headers(served)
    for ask in (
        lambda: client.register_system_shared_memory("mine", "/onsight_probe", 64, headers=auth),
        lambda: client.get_system_shared_memory_status(headers=auth),
        lambda: client.get_cuda_shared_memory_status(headers=auth),
        lambda: client.unregister_system_shared_memory(headers=auth),
    ):
        with pytest.raises(Exception, match="nothing at this address"):
            ask()
    tensor = triton.InferInput("images", [1, SIDE, SIDE, 3], "UINT8")
    tensor.set_shared_memory("mine", SIDE * SIDE * 3)
    with pytest.raises(Exception, match="shared memory: not offered here") as caught:
        client.infer("colours", [tensor], headers=auth)
    assert "mine" not in str(caught.value)
    output = triton.InferRequestedOutput("logits")
    output.set_shared_memory("mine", 12)
    tensor = triton.InferInput("image", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([RED], dtype=np.object_))
    with pytest.raises(Exception, match="shared memory: not offered here"):
        client.infer("colours", [tensor], outputs=[output], headers=auth)


def test_a_compressed_request_is_refused_and_a_compressed_answer_need_not_be(
    triton: Any, client: Any, served: Served
) -> None:
    tensor = triton.InferInput("image", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([RED], dtype=np.object_))
    with pytest.raises(Exception, match="without compression"):
        client.infer("colours", [tensor], headers=headers(served), request_compression_algorithm="gzip")
    result = client.infer("colours", [tensor], headers=headers(served), response_compression_algorithm="gzip")
    assert json.loads(result.as_numpy("decision")[0, 0])["labels"] == ["red"]


def test_triton_gets_errors_that_it_understands(triton: Any, client: Any, served: Served) -> None:

    tensor = triton.InferInput("image", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([b"no image"], dtype=np.object_))
    for name, code, auth in (
        ("absent", "No model of this name", headers(served)),
        ("colours", "JPEG", headers(served)),
        ("colours", "token", {}),
        ("colours", "scope", headers(served, "metrics")),
    ):
        with pytest.raises(
            triton.InferenceServerException if hasattr(triton, "InferenceServerException") else Exception
        ) as caught:
            client.infer(name, [tensor], headers=auth)
        assert code in str(caught.value)


def binary_request(document: dict[str, Any], raw: bytes) -> tuple[bytes, dict[str, str]]:
    head = json.dumps(document).encode()
    return head + raw, {"Inference-Header-Content-Length": str(len(head))}


def image_input(size: int, shape: list[int] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "inputs": [
            {"name": "image", "datatype": "BYTES", "shape": shape or [1], "parameters": {"binary_data_size": size}}
            | more
        ]
    }


ELEMENT = struct.pack("<I", len(RED)) + RED


@pytest.mark.parametrize(
    ("document", "raw"),
    [
        (image_input(len(ELEMENT) + 1), ELEMENT),  # more than there is
        (image_input(len(ELEMENT) - 1), ELEMENT),  # less than there is
        (image_input(8), struct.pack("<I", 2**32 - 1) + b"abcd"),  # an element that claims 4 GB
        (image_input(len(ELEMENT), [2]), ELEMENT),  # fewer elements than the shape says
        (image_input(len(ELEMENT), [65_536, 65_536]), ELEMENT),
        (image_input(len(ELEMENT), [-1]), ELEMENT),
        (image_input(len(ELEMENT), [True]), ELEMENT),
        (image_input(len(ELEMENT), data=["x"]), ELEMENT),
        (image_input(len(ELEMENT), datatype="FP64"), ELEMENT),
        (image_input(len(ELEMENT), parameters={"shared_memory_region": "x", "binary_data_size": 4}), ELEMENT),
        ({"inputs": []}, b""),
        ({"inputs": [{"name": "images", "datatype": "UINT8", "shape": [1, 1, 1, 4], "data": [0] * 4}]}, b""),
        ({"inputs": [{"name": "images", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [0, 0, 256]}]}, b""),
        ({"inputs": [{"name": "images", "datatype": "FP32", "shape": [1], "data": [10**400]}]}, b""),
        ({"inputs": [{"name": "images", "datatype": "UINT8", "shape": [1], "data": [10**400]}]}, b""),
        ({"inputs": [{"name": "other", "datatype": "UINT8", "shape": [1], "data": [0]}]}, b""),
        (image_input(len(ELEMENT)) | {"outputs": [{"name": "secrets"}]}, ELEMENT),
        ({"inputs": image_input(len(ELEMENT))["inputs"] * 2}, ELEMENT * 2),
    ],
)  # fmt: skip
def test_what_does_not_add_up_is_refused_with_a_reason(served: Served, document: dict[str, Any], raw: bytes) -> None:
    body, extra = binary_request(document, raw)
    reply = served.server.ask("POST", f"{MODEL}/infer", body, served.token, extra)
    assert (reply.status, reply.json["code"]) == (400, "V2_REQUEST_INVALID"), reply.body
    assert reply.json["error"] == reply.json["detail"]
    assert len(reply.json["error"]) > 20


def test_headers_that_lie_about_the_json_are_refused(served: Served) -> None:
    body, _ = binary_request(image_input(len(ELEMENT)), ELEMENT)
    for length in ("0", "-1", "x", str(len(body) + 1), "9" * 30, "3"):
        extra = {"Inference-Header-Content-Length": length}
        assert served.server.ask("POST", f"{MODEL}/infer", body, served.token, extra).status == 400


def test_json_alone_works_too(served: Served) -> None:
    pixels = np.full((1, SIDE, SIDE, 3), (220, 20, 20), np.uint8)
    document = {
        "inputs": [{"name": "images", "datatype": "UINT8", "shape": [1, SIDE, SIDE, 3], "data": pixels.tolist()}],
        "outputs": [{"name": "decision"}, {"name": "probabilities", "parameters": {"classification": 1}}],
    }
    reply = served.server.ask("POST", f"{MODEL}/versions/1/infer", json.dumps(document).encode(), served.token)
    outputs = {each["name"]: each for each in reply.json["outputs"]}
    assert json.loads(outputs["decision"]["data"][0])["labels"] == ["red"]
    assert outputs["probabilities"]["data"][0].endswith(":0:red")
    assert served.server.ask("POST", f"{MODEL}/versions/2/infer", b"{}", served.token).status == 404
