"""Bounded queue: at four times the load that the server can take, some are told to come back, and nobody waits longer.

In this order: the load that it can take, by clients that ask without a pause; then requests that come by the clock, as
many as that (the limit) and four times as many, whether or not earlier ones have been answered. Latency counts from the
moment at which a request was due. Requests come at random (Poisson), the same moments every time.
"""

from __future__ import annotations

import asyncio
import io
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from benchmarks.promises.promise import CannotBeMeasured, Outcome, Promise
from benchmarks.promises.rig import Bench, bench_server
from benchmarks.serving.load import LoadError, Target, require_wrk, run_wrk

OVERLOAD = 4
MAX_RATIO = 2.0
ALLOWED = {200, 429, 503}
PATIENCE_S = 60.0
FRESH_S = 5.0
MAX_QUEUE = "16"  # soon full, so that a minute is long enough to see what waiting comes to


@dataclass
class Course:
    """What became of requests that came by the clock. accepted_s: latencies of those that got 200, in seconds."""

    statuses: Counter[int] = field(default_factory=Counter)
    accepted_s: list[float] = field(default_factory=list)
    broken: int = 0

    @property
    def p99_s(self) -> float:
        return float(np.percentile(self.accepted_s, 99)) if self.accepted_s else float("inf")


class Clients:
    """Keep-alive connections, as many as there are requests under way."""

    def __init__(self, bench: Bench, body: bytes) -> None:
        self._port = bench.server.port
        self._idle: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []
        head = (
            f"POST {bench.path} HTTP/1.1\r\nHost: localhost\r\nX-Auth-token: {bench.token}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._request = head.encode() + body

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The one used last; a new one where the server may be about to close that."""
        while self._idle:
            since, reader, writer = self._idle.pop()
            if time.monotonic() - since < FRESH_S:
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self._port)

    async def ask(self, course: Course, due: float) -> None:
        reader, writer = await self._connection()
        try:
            writer.write(self._request)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            course.broken += 1
            writer.close()
            return
        status = int(head.split(b" ", 2)[1])
        course.statuses[status] += 1
        if status == 200:
            course.accepted_s.append(time.monotonic() - due)
        if b"connection: close" in head.lower():
            writer.close()
        else:
            self._idle.append((time.monotonic(), reader, writer))

    async def run(self, per_second: float, seconds: float) -> Course:
        draw = np.random.default_rng(3)
        gaps = draw.exponential(1 / per_second, int(per_second * seconds * 1.2) + 10)
        moments = np.cumsum(gaps)
        moments = moments[moments < seconds]
        course, under_way = Course(), set()
        began = time.monotonic()
        for moment in tqdm(moments, desc=f"{per_second:.0f} a second", unit="request", disable=None):
            due = began + float(moment)
            if (pause := due - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            task = asyncio.create_task(self.ask(course, due))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        await asyncio.gather(*under_way)
        for _, _, writer in self._idle:
            writer.close()
        self._idle.clear()
        return course


def picture() -> bytes:
    """A progressive JPEG of a megapixel: small to send, some 10 ms to decode."""
    draw = np.random.default_rng(0)
    coarse = draw.integers(0, 255, (60, 80, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(coarse).resize((1200, 900), Image.Resampling.BICUBIC).save(
        out, "JPEG", quality=70, progressive=True
    )
    return out.getvalue()


def measure(full: bool) -> Outcome:
    try:
        require_wrk()
    except LoadError as error:
        raise CannotBeMeasured(str(error)) from error
    body, seconds = picture(), 60.0 if full else 8.0
    with tempfile.TemporaryDirectory() as folder, bench_server(max_queue=MAX_QUEUE) as bench:
        (Path(folder) / "0").write_bytes(body)
        target = Target(bench.server.port, bench.path, {"X-Auth-token": bench.token}, Path(folder))
        run_wrk(target, 16, 2)
        can_take = run_wrk(target, 16, seconds / 4).per_second
        clients = Clients(bench, body)
        limit = asyncio.run(clients.run(can_take, seconds))
        over = asyncio.run(clients.run(OVERLOAD * can_take, seconds))
    ratio, broken = over.p99_s / limit.p99_s, limit.broken + over.broken
    words = (
        f"{can_take:.0f} requests a second: p99 {limit.p99_s * 1e3:.0f} ms, {dict(sorted(limit.statuses.items()))};"
        f" four times as many: p99 {over.p99_s * 1e3:.0f} ms ({ratio:.2f} times),"
        f" {dict(sorted(over.statuses.items()))}, {broken} broken"
    )
    kept = {*limit.statuses, *over.statuses} <= ALLOWED and not broken and ratio <= MAX_RATIO
    return Outcome(words, kept)


PROMISE = Promise(
    "bounded_queue",
    "At four times the load only 200, 429, 503; accepted p99 at most twice the p99 at the limit",
    measure,
    quiet_machine=True,
)
