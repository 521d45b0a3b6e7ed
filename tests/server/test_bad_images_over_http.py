"""Every bad image that we know of, and mutations of each, sent to a real server: a 4xx or a prediction, nothing else.

ONSIGHT_TEST_BAD_INPUTS sets how many mutations of all seeds together are sent (default 200; the promise says 10,000).
"""

from __future__ import annotations

import http.client
import importlib.util
import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from color_bundle import RED
from running_server import Served
from tqdm import tqdm

INPUTS = int(os.environ.get("ONSIGHT_TEST_BAD_INPUTS", "200"))
V1 = "/v1/predict/default/colours"
REFUSALS = (400, 413, 415, 422)
MAX_GROWTH_BYTES = 100_000_000


def load_seeds() -> dict[str, tuple[bytes, bool]]:
    path = Path(__file__).parents[1] / "bundle" / "bad_images.py"
    spec = importlib.util.spec_from_file_location("bad_images_for_the_server", path)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.seeds())


def mutate(data: bytes, other: bytes, draw: random.Random) -> bytes:
    """One to four changes, mostly near the start, where headers are. other: of another seed, for a splice."""
    changed = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        size = len(changed)
        near = min(size, 64 if draw.random() < 0.5 else 1024 if draw.random() < 0.6 else size)
        at = draw.randrange(near) if near else 0
        match draw.randrange(8):
            case 0 if size:
                changed[at] ^= 1 << draw.randrange(8)
            case 1 if size:
                changed[at] = draw.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:  # a size or an offset, as large or as odd as it can be
                order = draw.choice(("big", "little"))
                value = draw.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1, 65_535, draw.randrange(2**32)))
                changed[at : at + 4] = value.to_bytes(4, order)
            case 3:
                del changed[draw.randrange(size + 1) :]
            case 4:
                del changed[at : at + draw.randint(1, 64)]
            case 5:
                changed[at:at] = draw.randbytes(draw.randint(1, 64))
            case 6:  # the same piece again and again
                piece = changed[at : at + draw.randint(1, 400)]
                changed[at:at] = piece * draw.randint(2, 200)
            case _:
                changed[at:] = other[draw.randrange(len(other) + 1) :]
    return bytes(changed)


def resident_bytes(pid: int) -> int:
    """Of a server's workers."""
    total = 0
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        (rss,) = re.findall(r"^Rss:\s+(\d+)", Path(f"/proc/{child}/smaps_rollup").read_text(), re.MULTILINE)
        total += int(rss) * 1024
    return total


@pytest.mark.slow
def test_every_bad_image_is_answered_and_kills_nothing(big_served: Served) -> None:
    booted = len(re.findall("Booting worker", big_served.server.log))
    seeds = load_seeds()
    assert len(seeds) >= 40
    wrong = []
    for name, (data, good) in seeds.items():
        reply = big_served.server.ask("POST", V1, data, big_served.token)
        if not (reply.status == 200 if good else reply.status in REFUSALS):
            wrong.append((name, good, reply.status, reply.body[:200]))
    assert not wrong
    assert big_served.server.ask("POST", V1, RED, big_served.token).json["labels"] == ["red"]
    assert len(re.findall("Booting worker", big_served.server.log)) == booted


@pytest.mark.slow
def test_mutations_of_bad_images_are_answered_and_kill_nothing(
    big_served: Served, record_property: Callable[[str, object], None]
) -> None:
    server, token = big_served.server, big_served.token
    booted = server.log.count("Booting worker")
    seeds = [data for data, _ in load_seeds().values()]
    draw = random.Random(20)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    statuses: Counter[int] = Counter()
    slowest_s, before = 0.0, 0
    for number in tqdm(range(INPUTS), desc="bad inputs", unit="input", disable=None):
        if number == min(1000, INPUTS // 4):  # the largest of them have been there
            before = resident_bytes(server.process.pid)
        data = mutate(seeds[number % len(seeds)], draw.choice(seeds), draw)
        began = time.monotonic()
        connection.request("POST", V1, data, {"X-Auth-token": token})
        answer = connection.getresponse()
        body = answer.read()
        slowest_s = max(slowest_s, time.monotonic() - began)
        statuses[answer.status] += 1
        assert answer.status in (200, *REFUSALS), (number, answer.status, body)
    connection.close()
    growth = resident_bytes(server.process.pid) - before
    record_property("slowest_s", slowest_s)
    record_property("growth_mb", growth / 1e6)
    record_property(
        "figure",
        f"{INPUTS:,} inputs: {dict(sorted(statuses.items()))}, slowest {slowest_s:.2f} s, {growth / 1e6:+.1f} MB",
    )
    assert server.ask("POST", V1, RED, token).json["labels"] == ["red"]
    assert server.log.count("Booting worker") == booted
    assert growth < MAX_GROWTH_BYTES
