"""onsight predict --server: the same answers as with the bundle in hand, and every refusal in a line."""

from __future__ import annotations

import csv
import io
import json
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path

import pytest
from onsight_process import Onsight, command_environment
from onsight_server import SCRIPT, onsight_serve
from tiny_runs import TinyRun

from bundle.home import OnsightHome
from bundle.keys import SigningKey
from bundle.trust import TrustStore
from server.tokens import Scope, TokenStore


@pytest.fixture(scope="module")
def served(
    single_bundle: Path, maker_key: SigningKey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """URL and token of a server with the models default/shapes and shop/goods."""
    root = tmp_path_factory.mktemp("served")
    home = OnsightHome(root / "home")
    TrustStore(home.trust_dir).add(maker_key.public_key, "maker")
    token = TokenStore(home.tokens_path).create("test", [Scope.PREDICT], datetime(2026, 1, 2, tzinfo=UTC))
    (root / "models").mkdir()
    shutil.copy2(single_bundle, root / "models")
    with onsight_serve(root / "models", home.path) as url:
        yield url, token


@pytest.fixture
def images(single_run: TinyRun, tmp_path: Path) -> Path:
    """Good and bad images."""
    folder = tmp_path / "images"
    for colour in ("blue", "grün"):
        shutil.copytree(single_run.images / colour, folder / colour)
    (folder / "text.jpg").write_text("no image")
    (folder / "empty.png").write_bytes(b"")
    return folder


def test_a_server_answers_as_the_bundle_does(
    onsight: Onsight, served: tuple[str, str], single_bundle: Path, images: Path
) -> None:
    url, token = served
    here = onsight("predict", single_bundle, images)
    there = onsight("predict", "shapes", images, "--server", url, "--token", token)
    assert there.stderr == here.stderr
    rows, others = (list(csv.DictReader(io.StringIO(finished.stdout))) for finished in (here, there))
    assert len(rows) == len(others) == 62
    for row, other in zip(rows, others, strict=True):
        assert [row[name] for name in ("file", "labels", "unknown")] == [
            other[n] for n in ("file", "labels", "unknown")
        ]
        assert bool(row["error"]) is bool(other["error"])
        for name in (name for name in row if name.startswith("score:") and row[name]):
            assert float(row[name]) == pytest.approx(float(other[name]), abs=1.1e-3)  # each is rounded


def test_the_only_model_need_not_be_named_and_the_token_may_come_from_the_environment(
    onsight: Onsight, served: tuple[str, str], images: Path
) -> None:
    url, token = served
    named = onsight("predict", "default/shapes", images, "--server", url + "/", "--token", token)
    assert onsight("predict", images, "--server", url, ONSIGHT_TOKEN=token).stdout == named.stdout
    assert onsight("predict", images, "--server", f"{url}/api/predict/default/shapes", ONSIGHT_TOKEN=token).code == 0


@pytest.mark.parametrize(
    ("model", "token", "words"),
    [
        ("shapes", "onsight_wrong", "token"),
        ("shapes", None, "token"),
        ("nothing", "right", "No model of this name is served here"),
        ("shop/shapes", "right", "No model of this name is served here"),
        ("sh apes/x y", "right", "model: expected"),
        ("../../health", "right", "model: expected"),
    ],
)
def test_a_refusal_is_told_of_in_a_line(
    model: str, token: str | None, words: str, onsight: Onsight, served: tuple[str, str], images: Path, tmp_path: Path
) -> None:
    url, right = served
    options = [] if token is None else ["--token", right if token == "right" else token]
    refused = onsight("predict", model, images, "--server", url, "--out", "results.csv", *options)
    assert words in refused.error
    assert refused.code == 1
    assert right not in refused.stderr
    assert not (tmp_path / "results.csv").exists()


def test_where_no_server_is_that_is_said(onsight: Onsight, images: Path) -> None:
    refused = onsight("predict", images, "--server", "http://127.0.0.1:9", "--token", "x")
    assert refused.error == (
        "http://127.0.0.1:9: expected an Onsight server, found: Connection refused. Is it running, and is this its"
        " address?"
    )


# What a server says of a model and of an image, all that a client looks for.
PREDICTION = {
    "project": "default", "model": "shapes", "version": "1", "task": "single_label", "labels": ["blue"],
    "unknown": False, "scores": [{"label": "blue", "probability": 0.9, "threshold": 0.5, "above": True}],
    "timings_ms": {"queue": 0.1, "decode": 1, "inference": 2, "total": 4}, "request_id": "1",
}  # fmt: skip
DESCRIPTION = {
    "project": "default", "name": "shapes", "version": "1", "task": "single_label", "state": "ready",
    "bundle": "shapes.onsight", "label_count": 1, "providers": ["CPUExecutionProvider"],
    "labels": [{"label": "blue", "threshold": 0.5}], "created_at": "2026-01-02T03:04:05Z", "preprocessing": {},
    "calibration": {}, "unknown": None, "metrics": {}, "golden_difference": 0.0, "model_id": "", "bundle_sha256": "",
    "key_id": "",
}  # fmt: skip


@contextmanager
def scripted(answers: list[object]) -> Iterator[str]:
    """A server that gives these answers in turn, bytes as they are and all else as JSON, and then closes its door."""
    waiting = iter(answers)
    left = len(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            nonlocal left
            left -= 1
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = next(waiting)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer if isinstance(answer, bytes) else json.dumps(answer).encode())

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_port}"

        def serve() -> None:
            while left:
                server.handle_request()
            server.server_close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield url
        thread.join()


def test_what_is_no_onsight_server_is_told_of(onsight: Onsight, images: Path) -> None:
    with scripted([b"<html>hello</html>"]) as url:
        refused = onsight("predict", "shapes", images, "--server", url, "--token", "x")
    assert "expected JSON, found something else. Is this an Onsight server?" in refused.error


@pytest.mark.slow
def test_a_server_that_goes_away_leaves_the_answers_so_far(onsight: Onsight, images: Path, tmp_path: Path) -> None:
    with scripted([DESCRIPTION, *[PREDICTION] * 20]) as url:
        finished = onsight(
            "predict", "shapes", images, "--server", url, "--workers", "1", "--out", "results.csv", "--json"
        )  # fmt: skip
    assert finished.code == 1
    assert finished.stderr.splitlines() == [
        "20 of 62 images labelled: blue 20",
        "Stopped: 42 images were not looked at",
        "Written: results.csv",
        f"Error: {url}: expected an Onsight server, found: Connection refused (7 times). Is it running, and is this its"
        " address?",
    ]
    assert len(json.loads((tmp_path / "results.csv").read_text())) == 20


@pytest.mark.slow
def test_a_second_ctrl_c_ends_a_run_that_waits_for_a_busy_server(images: Path, tmp_path: Path) -> None:
    asked = threading.Event()

    class Busy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, DESCRIPTION)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(503, {"code": "MODELS_LOADING", "detail": "Loading."})
            asked.set()

        def _answer(self, status: int, document: object) -> None:
            self.send_response(status)
            self.send_header("Retry-After", "90")  # within a call's time, so that it is waited for
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Busy) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        process = subprocess.Popen(
            [SCRIPT, "predict", "shapes", images, "--server", f"http://127.0.0.1:{server.server_port}"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=command_environment(tmp_path / "home"),
        )  # fmt: skip
        try:
            assert asked.wait(60)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            told = b""
            while b"Ctrl-C again ends at once" not in told:
                part = process.stderr.read1()
                assert part, told
                told += part
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 1  # the pauses would have been 90 seconds and more
        finally:
            process.kill()
            process.communicate()
            server.shutdown()
            thread.join()
