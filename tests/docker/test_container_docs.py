"""docs/containers.md names every knob that there is."""

from __future__ import annotations

import re

import pytest
import yaml
from nginx_process import VARIABLE
from running_server import ROOT

PAGE = (ROOT / "docs/containers.md").read_text()
WORDS = set(re.findall(r"[\w.]+", PAGE))


@pytest.mark.parametrize(
    "file", ["compose.yaml", "compose.gpu.yaml", "compose.studio.yaml", "nginx/nginx.conf.template"]
)
def test_every_variable_has_its_place(file: str) -> None:
    text = (ROOT / "docker" / file).read_text()
    asked = set(VARIABLE.findall(text)) | set(re.findall(r"\$\{(ONSIGHT_[A-Z_]+):?-", text))
    assert asked
    assert asked <= WORDS


def test_every_build_argument_has_its_row() -> None:
    arguments = re.findall(r"^ARG (\w+)", (ROOT / "docker/Dockerfile").read_text(), re.MULTILINE)
    assert [name for name in arguments if f"| `{name}` |" not in PAGE] == []


def test_every_value_of_the_chart_has_its_row() -> None:
    values = yaml.safe_load((ROOT / "docker/chart/values.yaml").read_text())
    missing = []
    for name, value in values.items():
        row = next((line for line in PAGE.splitlines() if re.match(rf"\|.*`{name}\b", line)), "")
        known = row + "".join(line for line in PAGE.splitlines() if line.startswith(f"| `{name}."))
        inner = value if isinstance(value, dict) and name not in ("settings", "resources", "nodeSelector") else {}
        missing += [name] if not known else []
        missing += [f"{name}.{key}" for key in inner if not re.search(rf"`({name})?\.{key}`", known)]
    assert missing == []
