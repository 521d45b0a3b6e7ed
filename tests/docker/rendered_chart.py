"""Render the chart with Helm's own engine, in a process of its own (it brings Go's runtime and signal handlers)."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import yaml
from running_server import ROOT

CHART = ROOT / "docker/chart"
REQUIRED = {"tokens": {"secret": "onsight-tokens"}, "trust": {"configMap": "makers"}, "models": {"claim": "models"}}
RENDER = """
import json, sys
import helm_python as helm

chart_path, values = json.load(sys.stdin)
with helm.Chart.load(chart_path) as chart:
    try:
        chart.validate_schema(values)
        rendered = chart.render(values, name="demo", namespace="vision")
    except helm.HelmError as error:
        print(json.dumps({"refused": str(error)}))
    else:
        print(json.dumps({"files": rendered, "lint": helm.lint(chart_path, values, strict=True)}))
"""
Manifest = dict[str, Any]


class Refused(Exception):
    """Helm renders nothing: the schema, or a check of the chart, says why."""


def render(**values: Any) -> dict[str, Manifest]:
    """The manifests by kind. values: on top of what one cannot leave out. Raises Refused."""
    return {manifest["kind"]: manifest for manifest in _documents(_run({**REQUIRED, **values})["files"])}


def notes(**values: Any) -> str:
    """What `helm install` prints."""
    files: dict[str, str] = _run({**REQUIRED, **values})["files"]
    return next(text for name, text in files.items() if name.endswith("NOTES.txt"))


def lint(**values: Any) -> list[str]:
    """Helm's complaints: its warnings and errors."""
    found = _run({**REQUIRED, **values})["lint"]
    return [each["error"] for each in found["messages"] if each["severity"] >= 2] + found["errors"]


def _run(values: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", RENDER],
        input=json.dumps([str(CHART), values]), capture_output=True, text=True, check=True,
    )  # fmt: skip
    result: dict[str, Any] = json.loads(done.stdout)
    if "refused" in result:
        raise Refused(result["refused"])
    return result


def _documents(files: dict[str, str]) -> list[Manifest]:
    texts = (text for name, text in files.items() if name.endswith(".yaml"))
    return [document for text in texts for document in yaml.safe_load_all(text) if document]
