"""A real server on a machine without a GPU that was asked for one: what it says of where its models run, and why."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from color_bundle import RED
from running_server import Install, RunningServer

from server.engines.providers import CPU
from server.tokens import Scope


def needs_no_gpu() -> None:
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine has an NVIDIA driver: nothing falls back")


def test_a_server_that_may_fall_back_serves_on_the_cpu_and_says_so(
    install: Install, serve: Callable[..., RunningServer]
) -> None:
    needs_no_gpu()
    install.add_bundle()
    token = install.add_token("all", Scope.PREDICT, Scope.METRICS)
    server = serve(providers="tensorrt,cuda,cpu", provider_fallback="true", log_format="json")
    ready = server.wait_for_status(200, 60).json
    assert ready["fallback"] is True
    assert ready["providers"] == [CPU]
    assert [(model["provider"], model["device"]) for model in ready["models"]] == [(CPU, "CPU")]
    assert ready["models"][0]["library"].startswith("ONNX Runtime ")
    (model,) = server.ask("GET", "/v1/models", token=token).json["models"]
    assert (model["providers"], model["device"]) == ([CPU], "CPU")
    metrics = server.ask("GET", "/metrics", token=token).body.decode()
    library = ready["models"][0]["library"]
    assert f'device="CPU",library="{library}",model="colours",precision="fp32",project="default"' in metrics
    answer = server.ask("POST", "/api/predict/default/colours", RED, token)
    assert answer.json[0]["label"] == "red"
    assert "fallback: the model runs on a later provider" in server.log
    assert "no NVIDIA driver" in server.log


def test_a_server_that_may_not_fall_back_refuses_with_the_reason(
    install: Install, serve: Callable[..., RunningServer]
) -> None:
    needs_no_gpu()
    install.add_bundle()
    token = install.add_token()
    server = serve(providers="tensorrt,cpu")
    failed = wait_for_failure(server, token)
    assert failed["code"] == "ENGINE_PROVIDER"
    assert "expected an NVIDIA GPU, found no NVIDIA driver" in failed["reason"]
    assert "ONSIGHT_PROVIDER_FALLBACK=true" in failed["reason"]
    ready = server.wait_for_status(503).json
    assert ready["status"] == "no_models"
    assert ready["failed"] == [{"project": "default", "code": "ENGINE_PROVIDER"}]


def wait_for_failure(server: RunningServer, token: str) -> dict[str, str]:
    end = time.monotonic() + 60
    server.wait_for_status(503)
    while not (failed := server.ask("GET", "/v1/models", token=token).json["failed"]):
        assert time.monotonic() < end, server.log
        time.sleep(0.1)
    found: dict[str, str] = failed[0]
    return found
