"""Every bad image that we know of, sent to a real server: a 4xx or a prediction, and the same process afterwards."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from color_bundle import RED
from running_server import Served


def load_seeds() -> dict[str, tuple[bytes, bool]]:
    path = Path(__file__).parents[1] / "bundle" / "bad_images.py"
    spec = importlib.util.spec_from_file_location("bad_images_for_the_server", path)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.seeds())


@pytest.mark.slow
def test_every_bad_image_is_answered_and_kills_nothing(big_served: Served) -> None:
    booted = len(re.findall("Booting worker", big_served.server.log))
    seeds = load_seeds()
    assert len(seeds) >= 40
    wrong = []
    for name, (data, good) in seeds.items():
        reply = big_served.server.ask("POST", "/v1/predict/default/colours", data, big_served.token)
        if not (reply.status == 200 if good else reply.status in (400, 413, 415, 422)):
            wrong.append((name, good, reply.status, reply.body[:200]))
    assert not wrong
    assert big_served.server.ask("POST", "/v1/predict/default/colours", RED, big_served.token).json["labels"] == ["red"]
    assert len(re.findall("Booting worker", big_served.server.log)) == booted
