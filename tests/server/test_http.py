"""The interface over real HTTP, against a real Gunicorn with two workers."""

from __future__ import annotations

import http.client
import io
import json
import re
import socket
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from color_bundle import BLUE, GREEN, GREY, LABELS, RED
from PIL import Image
from running_server import Reply, Served

from bundle.decode import ImageLimits
from server.engines.factory import EngineOptions, engine_factory
from server.models.keeper import Keeper
from server.models.registry import Registry

CLOUD = "/api/predict/default/colours"
V1 = "/v1/predict/default/colours"


def check_problem(reply: Reply, status: int, code: str) -> Any:
    assert (reply.status, reply.json["code"]) == (status, code), reply.body
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert set(reply.json) == {"type", "title", "status", "detail", "code", "request_id"}
    assert reply.json["status"] == status
    assert reply.json["request_id"] == reply.headers["X-Request-ID"]
    assert "Traceback" not in reply.body.decode()
    return reply.json


def test_the_cloud_call_answers_with_a_bare_list_with_and_without_a_slash(served: Served) -> None:
    for path in (CLOUD, f"{CLOUD}/"):
        reply = served.server.ask("POST", path, RED, served.token)
        assert reply.status == 200
        assert reply.json[0]["label"] == "red"
        assert {frozenset(entry) for entry in reply.json} == {frozenset({"label", "score"})}
        scores = [entry["score"] for entry in reply.json]
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) == pytest.approx(100, abs=0.001)


def test_any_content_type_but_json_carries_an_image(served: Served) -> None:
    # curl --data-binary says application/x-www-form-urlencoded
    for kind in ("application/octet-stream", "image/png", "application/x-www-form-urlencoded", "text/plain", ""):
        reply = served.server.ask("POST", CLOUD, GREEN, served.token, {"Content-Type": kind})
        assert (reply.status, reply.json[0]["label"]) == (200, "green"), kind


def test_a_bearer_token_is_as_good(served: Served) -> None:
    reply = served.server.ask("POST", CLOUD, BLUE, headers={"Authorization": f"Bearer {served.token}"})
    assert reply.json[0]["label"] == "blue"


def test_details_give_the_full_answer(served: Served) -> None:
    reply = served.server.ask("POST", f"{CLOUD}?details=true", BLUE, served.token)
    assert reply.json["labels"] == ["blue"]
    check_problem(served.server.ask("POST", f"{CLOUD}?details=maybe", BLUE, served.token), 400, "PARAMETER_INVALID")


def test_the_pretrained_call_finds_the_default_project(served: Served) -> None:
    for path in ("/api/pm-predict/colours", "/api/pm-predict/colours/"):
        assert served.server.ask("POST", path, RED, served.token).json[0]["label"] == "red"
    check_problem(served.server.ask("POST", "/api/pm-predict/goods", RED, served.token), 404, "MODEL_NOT_FOUND")


def test_v1_answers_with_decision_thresholds_and_times(served: Served) -> None:
    answer = served.server.ask("POST", f"{V1}?top=2", RED, served.token, {"X-Request-ID": "my-id.7"}).json
    assert (answer["model"], answer["version"], answer["labels"], answer["unknown"]) == ("colours", "1", ["red"], False)
    assert answer["scores"][0]["label"] == "red"
    assert len(answer["scores"]) == 2
    assert answer["scores"][0] == {
        "label": "red", "probability": pytest.approx(0.99933, abs=1e-4), "threshold": 0.5, "above": True,
    }  # fmt: skip
    assert set(answer["timings_ms"]) == {"queue", "decode", "inference", "total"}
    assert answer["request_id"] == "my-id.7"
    for top in ("0", "-1", "x", "1e3", "9999999"):
        check_problem(served.server.ask("POST", f"{V1}?top={top}", RED, served.token), 400, "PARAMETER_INVALID")


@pytest.mark.parametrize(
    "path", [CLOUD, V1, "/api/pm-predict/colours", "/v1/predict/default/none", "/api/predict/x/y/"]
)
@pytest.mark.parametrize("body", [RED, b"", b"text", bytes(300_001)])
@pytest.mark.parametrize("token", ["good", "wrong_scope", "bad", None])
def test_the_short_way_and_the_long_way_answer_alike(served: Served, path: str, body: bytes, token: str | None) -> None:
    """A query, even an empty one, takes a request through Flask."""
    given = {"good": served.token, "wrong_scope": served.wrong_scope, "bad": "onsight_nonsense", None: None}[token]
    short, long = (
        served.server.ask("POST", address, body, given, {"X-Request-ID": "same"}) for address in (path, f"{path}?a=b")
    )
    assert short.status == long.status
    varying = ("Date", "Content-Length") if path == V1 else ("Date",)
    assert sorted(item for item in short.headers.items() if item[0] not in varying) == sorted(
        item for item in long.headers.items() if item[0] not in varying
    )
    if path == V1 and short.status == 200:
        assert short.json | {"timings_ms": 0} == long.json | {"timings_ms": 0}
    else:
        assert short.body == long.body


def test_an_image_like_no_other_is_unknown(served: Served) -> None:
    answer = served.server.ask("POST", V1, GREY, served.token).json
    assert (answer["labels"], answer["unknown"]) == ([], True)


def test_a_form_with_one_file_is_an_image_too(served: Served) -> None:
    def form(*files: bytes) -> tuple[bytes, dict[str, str]]:
        parts = [
            b'--cut\r\nContent-Disposition: form-data; name="image"; filename="../../x.png"\r\n\r\n' + file + b"\r\n"
            for file in files
        ]
        return b"".join(parts) + b"--cut--\r\n", {"Content-Type": "multipart/form-data; boundary=cut"}

    body, headers = form(GREEN)
    assert served.server.ask("POST", CLOUD, body, served.token, headers).json[0]["label"] == "green"
    for files in ((), (RED, GREEN)):
        body, headers = form(*files)
        check_problem(served.server.ask("POST", CLOUD, body, served.token, headers), 400, "FORM_FILES")
    body, headers = form(*[RED] * 400)
    assert served.server.ask("POST", CLOUD, body, served.token, headers).status == 413


def test_a_chunked_body_is_an_image_too(served: Served) -> None:
    chunks = [RED[at : at + 37] for at in range(0, len(RED), 37)]
    assert served.server.ask("POST", CLOUD, None, served.token, chunks=chunks).json[0]["label"] == "red"


def test_a_url_is_not_fetched(served: Served) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    body = json.dumps({"url": "http://127.0.0.1:1/x.jpg"}).encode()
    problem = check_problem(served.server.ask("POST", CLOUD, body, served.token, headers), 403, "URL_FETCH_OFF")
    assert "does not fetch" in problem["detail"]
    for other in (b"[]", b"{", b"[" * 50_000):
        check_problem(served.server.ask("POST", CLOUD, other, served.token, headers), 415, "UNSUPPORTED_MEDIA_TYPE")


def test_an_oversized_body_is_refused_before_it_is_read(served: Served) -> None:
    big = b"\xff" * 300_001
    check_problem(served.server.ask("POST", CLOUD, big, served.token), 413, "IMAGE_TOO_MANY_BYTES")
    check_problem(served.server.ask("POST", CLOUD, None, served.token, chunks=[big]), 413, "IMAGE_TOO_MANY_BYTES")
    with socket.create_connection(("127.0.0.1", served.server.port), timeout=20) as client:
        head = f"POST {CLOUD} HTTP/1.1\r\nHost: x\r\nX-Auth-token: {served.token}\r\nContent-Length: {10**13}\r\n\r\n"
        client.sendall(head.encode())
        client.shutdown(socket.SHUT_WR)
        assert b" 413 " in client.recv(1000)


def test_a_refused_client_that_sends_much_still_reads_the_answer(served: Served) -> None:
    check_problem(served.server.ask("POST", CLOUD, b"x" * 290_000, "wrong"), 401, "TOKEN_INVALID")


def test_a_badly_framed_body_is_the_senders_fault(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.server.port), timeout=20) as client:
        head = f"POST {CLOUD} HTTP/1.1\r\nHost: x\r\nX-Auth-token: {served.token}\r\nTransfer-Encoding: chunked\r\n\r\n"
        client.sendall(head.encode() + b"zz\r\nhello\r\n")
        assert b" 400 " in client.recv(1000)


def test_what_is_not_http_gets_a_problem_document(served: Served) -> None:
    for nonsense in (b"GARBAGE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", served.server.port), timeout=20) as client:
            client.sendall(nonsense)
            answer = b"".join(iter(lambda: client.recv(4096), b""))
        assert b"application/problem+json" in answer
        assert b"HTTP_INVALID" in answer
        assert b"GARBAGE" not in answer


def test_no_token_a_wrong_token_and_a_wrong_scope_are_refused(served: Served) -> None:
    missing = served.server.ask("POST", CLOUD, RED)
    check_problem(missing, 401, "TOKEN_MISSING")
    assert missing.headers["WWW-Authenticate"].startswith("Bearer")
    for wrong in ("onsight_wrong", served.token[:-1], served.token + "x"):
        check_problem(served.server.ask("POST", CLOUD, RED, wrong), 401, "TOKEN_INVALID")
    check_problem(served.server.ask("POST", CLOUD, RED, served.wrong_scope), 403, "SCOPE_MISSING")


def test_a_method_that_is_not_taken_gets_405_and_the_allowed_ones(served: Served) -> None:
    reply = served.server.ask("GET", CLOUD, token=served.token)
    check_problem(reply, 405, "METHOD_NOT_ALLOWED")
    assert "POST" in reply.headers["Allow"]


def test_models_are_listed_with_what_failed_and_why(served: Served) -> None:
    document = served.server.ask("GET", "/v1/models", token=served.token).json
    assert [(model["project"], model["name"]) for model in document["models"]] == [
        ("default", "colours"), ("shop", "goods"),
    ]  # fmt: skip
    assert {one["bundle"]: one["code"] for one in document["failed"]} == {
        "broken.onsight": "BUNDLE_MALFORMED",
        "stranger.onsight": "UNTRUSTED_KEY",
    }
    assert str(served.install.models) not in json.dumps(document)


def test_a_model_describes_itself(served: Served) -> None:
    model = served.server.ask("GET", "/v1/models/default/colours", token=served.token).json
    assert [entry["label"] for entry in model["labels"]] == list(LABELS)
    assert model["preprocessing"]["height"] == 32
    assert model["metrics"]["test"]["accuracy"] == {"value": 1.0, "low": 0.9, "high": 1.0}
    assert model["providers"] == ["CPUExecutionProvider"]
    assert model["key_id"] == served.install.key.public_key.key_id
    assert re.fullmatch(r"[0-9a-f]{64}", model["bundle_sha256"])
    problem = check_problem(
        served.server.ask("GET", "/v1/models/default/absent", token=served.token), 404, "MODEL_NOT_FOUND"
    )
    assert "colours" not in problem["detail"]


def test_health_is_public_and_tells_what_runs_where(served: Served) -> None:
    assert served.server.ask("GET", "/health/live").json == {"status": "live"}
    ready = served.server.ask("GET", "/health/ready")
    assert ready.status == 200
    assert ready.json["providers"] == ["CPUExecutionProvider"]
    assert {model["name"] for model in ready.json["models"]} == {"colours", "goods"}
    assert ".onsight" not in ready.body.decode()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "IMAGE_EMPTY"),
        (b"hello", 415, "IMAGE_UNSUPPORTED"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "IMAGE_UNSUPPORTED"),
        (RED[:60], 422, "IMAGE_CORRUPT"),
    ],
)
def test_a_bad_image_gets_a_clear_answer(served: Served, body: bytes, status: int, code: str) -> None:
    check_problem(served.server.ask("POST", V1, body, served.token), status, code)


def png_bomb(side: int) -> bytes:
    """A PNG of side x side grey pixels in a few hundred kilobytes at most."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(side + 1)
    data = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])
    head = struct.pack(">2I5B", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_a_169_megapixel_png_is_refused_from_its_header(served: Served) -> None:
    bomb = png_bomb(13_000)
    assert len(bomb) < 300_000
    check_problem(served.server.ask("POST", V1, bomb, served.token), 422, "IMAGE_TOO_LARGE")
    assert served.server.ask("POST", V1, RED, served.token).status == 200


def test_orientation_in_exif_does_not_change_the_answer(served: Served) -> None:
    answers = []
    for orientation in range(1, 9):
        picture = Image.new("RGB", (40, 30), (200, 30, 30))
        exif = picture.getexif()
        exif[0x0112] = orientation
        out = io.BytesIO()
        picture.save(out, "JPEG", exif=exif)
        answers.append(served.server.ask("POST", V1, out.getvalue(), served.token).json["scores"])
    assert all(answer == answers[0] for answer in answers)


def test_concurrent_answers_are_those_of_the_model_alone(served: Served) -> None:
    registry, build = Registry(), engine_factory(EngineOptions())
    Keeper(served.install.models, served.install.home.trust_dir, registry, build, ImageLimits()).look()
    model = registry.get(["default"], "colours")

    def image(index: int) -> bytes:
        out = io.BytesIO()
        Image.new("RGB", (20 + index % 7, 30), (index * 37 % 256, index * 91 % 256, index * 13 % 256)).save(out, "PNG")
        return out.getvalue()

    def ask(index: int) -> list[dict[str, Any]]:
        return list(served.server.ask("POST", CLOUD, image(index), served.token).json)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(80)))
    for index, answer in enumerate(answers):
        scores = model.predict(image(index)).decision.scores
        assert answer == [{"label": s.label, "score": round(s.probability * 100, 4)} for s in scores]


def test_many_requests_share_one_connection(served: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.server.port, timeout=20)
    connection.connect()
    own = connection.sock.getsockname()
    for token, status in ((served.token, 200), ("wrong", 401), (served.token, 200)):
        connection.request("POST", CLOUD, RED, {"X-Auth-token": token})
        response = connection.getresponse()
        response.read()
        assert response.status == status
        assert connection.sock.getsockname() == own
    connection.close()


def test_a_new_token_works_and_a_revoked_one_stops_without_a_restart(served: Served) -> None:
    token = served.install.add_token("short-lived")
    assert served.server.ask("GET", "/v1/models", token=token).status == 200
    served.install.tokens.revoke("short-lived")
    assert served.server.ask("GET", "/v1/models", token=token).status == 401


def test_the_page_names_nothing_from_elsewhere(served: Served) -> None:
    page = served.server.ask("GET", "/")
    assert page.status == 200
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    text = page.body.decode()
    for name in ("onsight.css", "onsight.js", "favicon.svg"):
        text += served.server.ask("GET", f"/static/{name}").body.decode()
    assert set(re.findall(r"https?://[^\s\"'<>`$]+", text)) <= {"http://www.w3.org/2000/svg"}


def test_the_log_has_request_ids_and_no_token_and_no_file_name(served: Served) -> None:
    served.server.ask("POST", V1, RED, served.token, {"X-Request-ID": "find-me"})
    served.server.ask("POST", V1, RED, "onsight_almost-secret")
    served.server.ask("GET", "/secret-address?token=onsight_in-a-query")
    end = time.monotonic() + 60
    while "find-me" not in served.server.log and time.monotonic() < end:
        time.sleep(0.02)
    lines = [json.loads(line) for line in served.server.log.splitlines()]
    line = next(line for line in lines if line.get("request_id") == "find-me")
    assert (line["event"], line["status"], line["token_name"]) == ("request", 200, "predict")
    for secret in (served.token, "almost-secret", "secret-address", "in-a-query", "x.png"):
        assert secret not in served.server.log
