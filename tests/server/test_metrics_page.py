"""docs/operations.md names every metric that a server has, with its labels, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from color_bundle import RED
from prometheus_client.parser import text_string_to_metric_families
from running_server import Served

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
