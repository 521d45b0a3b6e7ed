"""Spans of real servers at a real OTLP receiver: what they say, whose trace they continue; a collector that is away."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable

import pytest
from color_bundle import GREEN, RED
from otlp_receiver import OtlpReceiver, attributes
from running_server import Install, RunningServer, free_port

from server.errors import ConfigurationError
from server.settings import ServerSettings
from server.tracing import check_telemetry_installed

pytestmark = pytest.mark.slow

Serve = Callable[..., RunningServer]
V1 = "/v1/predict/default/colours"
CLOUD = "/api/predict/default/colours"
TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"}


def is_server(span: object) -> bool:
    return span.kind == 2  # type: ignore[attr-defined] - SPAN_KIND_SERVER


@pytest.mark.parametrize("path", [CLOUD, f"{V1}?top=1"])
def test_a_prediction_is_a_span_with_queue_decode_and_inference_in_the_clients_trace(
    install: Install, serve: Serve, path: str
) -> None:
    install.add_bundle(version="1.2")
    token = install.add_token()
    with OtlpReceiver() as receiver:
        server = serve(otlp_endpoint=receiver.url, log_format="json", workers="2")
        server.wait_for_status(200)
        reply = server.ask("POST", path, RED, token, {**TRACEPARENT, "X-Request-ID": "order-17"})
        assert reply.status == 200
        spans = receiver.wait_for(4)
    (request,) = filter(is_server, spans)
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE_ID, PARENT_ID)
    route = "/api/predict/<name:project>/<name:model>" if path == CLOUD else "/v1/predict/<name:project>/<name:name>"
    assert request.name == f"POST {route}"
    said = attributes(request)
    assert said["http.route"] == route
    assert (said["http.request.method"], said["http.response.status_code"]) == ("POST", 200)
    assert (said["onsight.project"], said["onsight.model"], said["onsight.version"]) == ("default", "colours", "1.2")
    assert (said["onsight.provider"], said["onsight.images"]) == ("CPUExecutionProvider", 1)
    assert said["onsight.request_id"] == "order-17"
    children = sorted((span for span in spans if span is not request), key=lambda span: span.start_time_unix_nano)
    assert [child.name for child in children] == ["queue", "decode", "inference"]
    at = request.start_time_unix_nano
    for child in children:
        assert (child.parent_span_id, child.trace_id) == (request.span_id, request.trace_id)
        assert at <= child.start_time_unix_nano <= child.end_time_unix_nano <= request.end_time_unix_nano
        at = child.end_time_unix_nano
    assert {resource["service.name"] for resource in receiver.resources} == {"onsight"}
    (line,) = [json.loads(text) for text in server.log.splitlines() if '"order-17"' in text]
    assert line["trace_id"] == TRACE_ID


def test_every_worker_sends_and_refusals_are_spans_too(install: Install, serve: Serve) -> None:
    install.add_bundle()
    token = install.add_token()
    with OtlpReceiver() as receiver:
        server = serve(otlp_endpoint=receiver.url, workers="2", log_format="json")
        server.wait_for_status(200)
        assert server.ask("POST", V1, b"not an image", token).status == 415
        assert server.ask("POST", V1, RED).status == 401
        assert server.ask("GET", "/v1/models", token=token).status == 200
        said = [attributes(span) for span in receiver.wait_for(3, is_server)]
        end = time.monotonic() + 60
        while len({resource["process.pid"] for resource in receiver.resources}) < 2:
            assert time.monotonic() < end
            assert server.ask("POST", V1, GREEN, token).status == 200
        names = {span.name for span in receiver.spans}
    assert {each["http.response.status_code"] for each in said} == {415, 401, 200}
    assert {each.get("error.type") for each in said} >= {"IMAGE_UNSUPPORTED"}
    assert not [name for name in names if "health" in name], "probes are no spans"


def test_a_trace_that_is_not_sampled_is_not_sent_and_nonsense_begins_a_new_one(install: Install, serve: Serve) -> None:
    install.add_bundle()
    token = install.add_token()
    with OtlpReceiver() as receiver:
        server = serve(otlp_endpoint=receiver.url)
        server.wait_for_status(200)
        unsampled = TRACEPARENT["traceparent"].removesuffix("01") + "00"
        for given in (unsampled, "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "ff" * 4000):
            status = server.ask("POST", V1, RED, token, {"traceparent": given}).status
            assert status == 200, given[:30]
        spans = receiver.wait_for(3, is_server)
        time.sleep(1.5)
        assert len(list(filter(is_server, receiver.spans))) == 3
    assert all(span.trace_id.hex() != TRACE_ID and not span.parent_span_id for span in spans)


@pytest.mark.parametrize("how", ["absent", "refusing", "hanging"])
def test_a_collector_that_is_away_costs_no_request_and_no_delay_at_the_end(
    install: Install, serve: Serve, how: str
) -> None:
    install.add_bundle()
    token = install.add_token()
    with OtlpReceiver() as receiver:
        url = receiver.url if how != "absent" else f"http://127.0.0.1:{free_port()}"
        receiver.status = 500
        if how == "hanging":
            receiver.hangs.set()
        server = serve(otlp_endpoint=url)
        server.wait_for_status(200)
        for _ in range(800 if how == "absent" else 300):  # more spans than are held
            assert server.ask("POST", CLOUD, RED, token).status == 200
        if how == "absent":
            end = time.monotonic() + 30
            while "does not take them" not in server.log:
                assert time.monotonic() < end
                time.sleep(0.1)
        assert server.stop() == 0
    assert server.log.count("does not take them") <= 1
    assert "Traceback" not in server.log


def test_spans_of_the_last_requests_are_sent_before_the_end(install: Install, serve: Serve) -> None:
    install.add_bundle()
    token = install.add_token()
    with OtlpReceiver() as receiver:
        server = serve(otlp_endpoint=receiver.url)
        server.wait_for_status(200)
        assert server.ask("POST", CLOUD, RED, token).status == 200
        assert server.stop() == 0
        assert len(receiver.wait_for(4)) == 4


@pytest.mark.parametrize("on", [False, True])
def test_without_a_collector_nothing_of_it_is_loaded(
    install: Install, serve: Serve, monkeypatch: pytest.MonkeyPatch, on: bool
) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")  # every process writes what it imports
    install.add_bundle()
    token = install.add_token()
    with OtlpReceiver() as receiver:
        server = serve(**({"otlp_endpoint": receiver.url} if on else {}))
        server.wait_for_status(200)
        assert server.ask("POST", V1, RED, token).status == 200
        assert server.stop() == 0
    assert "server.fast_lane" in server.log
    assert ("opentelemetry" in server.log) is on


def test_a_collector_without_the_extra_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    check_telemetry_installed()
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ConfigurationError, match=r"onsight\[telemetry\]"):
        check_telemetry_installed()


@pytest.mark.parametrize("wrong", ["localhost:4318", "ftp://x", "http://", "http://a b", "http://x/v1/traces"])
def test_an_address_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="otlp_endpoint"):
        ServerSettings(otlp_endpoint=wrong)


def test_the_port_of_the_receiver_is_free_again() -> None:
    """The rig itself: it lets go of what it took."""
    with OtlpReceiver() as receiver:
        port = int(receiver.url.rpartition(":")[2])
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
