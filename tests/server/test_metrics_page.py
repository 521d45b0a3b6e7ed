"""Metrics of a real server: docs/operations.md names all of them, and counts survive the workers that made them."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from color_bundle import RED
from prometheus_client.parser import text_string_to_metric_families
from running_server import Install, RunningServer, Served

from server.tokens import Scope

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
MODEL = {"project", "model", "version"}
V1 = "/v1/predict/default/colours"


def documented() -> dict[str, set[str]]:
    """Names in the page's table, with their labels."""
    section = PAGE.read_text().split("\n## Metrics\n")[1].split("\n## ")[0]
    found = {}
    for names, labels, _ in re.findall(r"^\| (`.+?) \| (.*?) ?\| (.*) \|$", section, re.MULTILINE):
        named = set(re.findall(r"`(\w+)`", labels)) | (MODEL if re.match(r"model\b", labels) else set())
        found |= dict.fromkeys(re.findall(r"`(\w+)`", names), named)
    return found


@pytest.mark.slow
def test_the_page_lists_every_metric_and_its_labels(served: Served) -> None:
    assert served.server.ask("POST", V1, RED, served.token).status == 200
    assert served.server.ask("POST", V1, b"not an image", served.token).status == 415
    served.server.ask("GET", "/health/live", headers={"X-Long": "a" * 70_000})  # refused without the application
    text = served.server.ask("GET", "/metrics", token=served.tokens[Scope.METRICS]).body.decode()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = {label for sample in family.samples for label in sample.labels} - {"le"}
    assert found == documented()


def counted(server: RunningServer, token: str) -> float:
    text = server.ask("GET", "/metrics", token=token).body.decode()
    return sum(float(each) for each in re.findall(r"^nv_inference_count_total\{.*\} (\S+)$", text, re.MULTILINE))


@pytest.mark.slow
def test_counts_survive_a_worker_and_a_new_one_takes_its_files(
    install: Install, serve: Callable[..., RunningServer]
) -> None:
    install.add_bundle()
    token, metrics_token = install.add_token(), install.add_token("metrics", Scope.METRICS)
    server = serve(workers="2")
    server.wait_for_status(200)
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    (folder,) = (install.home.path / "run").glob("*/metrics")
    for number in range(1, 4):
        for _ in range(10):
            assert server.ask("POST", V1, RED, token).status == 200
        assert counted(server, metrics_token) == 10 * number
        before = children.read_text().split()
        os.kill(int(before[0]), signal.SIGKILL)
        end = time.monotonic() + 60
        while len(after := children.read_text().split()) < 2 or after == before:
            assert time.monotonic() < end
            time.sleep(0.05)
        time.sleep(0.5)
        assert counted(server, metrics_token) == 10 * number
    assert len({path.stem.rpartition("_")[2] for path in folder.glob("*.db")}) <= 3
