"""Many images in one request of /v1, by form and by JSON; and the metrics that count them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from color_bundle import BLUE, GREEN, RED
from running_server import Reply, Served

from bundle.decide import Decision
from bundle.errors import CorruptImage
from server.models.model import IMAGES_AT_ONCE, Prediction
from server.routes.answers import inference_ms_of

V1 = "/v1/predict/default/colours"
JSON = {"Content-Type": "application/json"}


def send(served: Served, document: Any, path: str = V1) -> Reply:
    return served.server.ask("POST", path, json.dumps(document).encode(), served.token, JSON)


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def form(*files: tuple[str, bytes]) -> tuple[bytes, dict[str, str]]:
    parts = b"".join(
        b'--cut\r\nContent-Disposition: form-data; name="image"; filename="%s"\r\n\r\n%s\r\n' % (name.encode(), data)
        for name, data in files
    )
    return parts + b"--cut--\r\n", {"Content-Type": "multipart/form-data; boundary=cut"}


def test_a_form_with_many_files_gets_an_answer_for_each(served: Served) -> None:
    body, headers = form(("r.png", RED), ("bad.png", b"no image"), ("empty.png", b""), ("b.png", BLUE))
    reply = served.server.ask("POST", f"{V1}?top=1", body, served.token, headers)
    assert reply.status == 200
    results = reply.json["results"]
    assert [each["name"] for each in results] == ["r.png", "bad.png", "empty.png", "b.png"]
    assert [each.get("labels") for each in results] == [["red"], None, None, ["blue"]]
    assert [each["problem"]["code"] for each in results[1:3]] == ["IMAGE_UNSUPPORTED", "IMAGE_EMPTY"]
    assert all(len(each["scores"]) == 1 for each in results if "scores" in each)
    assert {"project", "model", "version", "task", "timings_ms", "request_id"} < set(reply.json)


def test_images_beyond_one_run_add_their_time() -> None:
    decision = Decision((), (), False)
    first = [Prediction(decision, 1.0, 30.0)] * (IMAGES_AT_ONCE - 1)
    answers = [CorruptImage("unreadable"), *first, Prediction(decision, 1.0, 7.0), CorruptImage("unreadable")]
    assert inference_ms_of(answers) == 37.0
    assert inference_ms_of([]) == 0.0


def test_json_carries_one_image_or_many(served: Served) -> None:
    one = send(served, {"image": encoded(GREEN)})
    assert one.json["labels"] == ["green"]
    assert send(served, {"image": f"data:image/png;base64,{encoded(GREEN)}"}).json["labels"] == ["green"]
    many = send(served, {"images": [encoded(RED), {"name": "two", "data": encoded(BLUE)}, encoded(b"junk")]})
    assert [each.get("labels") for each in many.json["results"]] == [["red"], ["blue"], None]
    assert many.json["results"][1]["name"] == "two"


@pytest.mark.parametrize(
    ("document", "status", "code"),
    [
        ({}, 400, "JSON_INVALID"),
        ([], 400, "JSON_INVALID"),
        ({"images": []}, 400, "JSON_INVALID"),
        ({"images": "x"}, 400, "JSON_INVALID"),
        ({"images": [1]}, 400, "JSON_INVALID"),
        ({"images": ["not base64!"]}, 400, "JSON_INVALID"),
        ({"image": encoded(RED), "images": []}, 400, "JSON_INVALID"),
        ({"url": "http://169.254.169.254/"}, 403, "URL_FETCH_OFF"),
        ({"images": [""] * 65}, 413, "TOO_MANY_IMAGES"),
        ({"image": "A" * 400_100}, 413, "IMAGE_TOO_MANY_BYTES"),
        ({"image": ""}, 400, "IMAGE_EMPTY"),
    ],
)
def test_json_that_is_not_images_is_refused(served: Served, document: Any, status: int, code: str) -> None:
    reply = send(served, document)
    assert (reply.status, reply.json["code"]) == (status, code)


def test_a_version_may_be_asked_for_and_one_that_is_not_there_is_not_found(served: Served) -> None:
    assert served.server.ask("POST", f"{V1}?version=1", RED, served.token).json["version"] == "1"
    assert served.server.ask("POST", f"{V1}?version=2", RED, served.token).status == 404


def metric(text: str, name: str, *labels: str) -> float:
    lines = [line for line in text.splitlines() if line.startswith(name) and all(label in line for label in labels)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def test_metrics_add_up_over_all_workers(served: Served) -> None:
    from server.tokens import Scope

    def scrape() -> str:
        reply = served.server.ask("GET", "/metrics", token=served.tokens[Scope.METRICS])
        assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return reply.body.decode()

    before = scrape()
    for _ in range(12):
        served.server.ask("POST", V1, RED, served.token)
        served.server.ask("POST", "/api/predict/default/colours", b"junk", served.token)
    send(served, {"images": [encoded(RED)] * 5})
    after = scrape()

    def grown(name: str, *labels: str) -> float:
        return metric(after, name, *labels) - metric(before, name, *labels)

    model = ('model="colours"', 'project="default"', 'version="1"')
    assert grown("nv_inference_request_success_total", *model) == 13
    assert grown("nv_inference_count_total", *model) == 17
    assert grown("onsight_prediction_seconds_count", *model) == 13
    assert grown("nv_inference_request_failure_total", 'code="IMAGE_UNSUPPORTED"') == 12
    assert grown("onsight_http_requests_total", 'status="200"', 'method="POST"') == 13
    assert 0 < grown("nv_inference_compute_infer_duration_us_total") < grown("nv_inference_request_duration_us_total")
    assert metric(after, "onsight_workers ") == 2
    assert metric(after, "onsight_model_ready", 'provider="CPUExecutionProvider"') == 2
    assert metric(after, "onsight_bundles_failed") == 2
    assert metric(after, "nv_inference_pending_request_count") == 0
