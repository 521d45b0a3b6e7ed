"""The peers a user would pick, each in an environment of its own that is made on first use.

`NAME:VARIANT` is the same peer used in another way; the plain name is the way that did best (see `peers/serve_*.py`).
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.serving.contender import Dialect, HttpContender, Setup, Skipped, run_quietly
from benchmarks.serving.launch import Launched, free_port
from benchmarks.serving.limit import LIMIT

FOLDER = Path(__file__).parent / "peers"
TOLERANCE = 1e-4
PYTHON = getattr(sys, "_base_executable", sys.executable)  # outside of this environment
DEBIAN_PYTHON = "/usr/bin/python3"
V2_HEADER_BYTES = 256


def plain_answer(body: bytes, labels: Sequence[str]) -> list[float]:
    """`[...]` or `{"probabilities": [...]}`."""
    answer = json.loads(body)
    return as_probabilities(answer["probabilities"] if isinstance(answer, dict) else answer, labels)


def v2_answer(body: bytes, labels: Sequence[str]) -> list[float]:
    return as_probabilities(json.loads(body)["outputs"][0]["data"], labels)


def as_probabilities(values: Sequence[float], labels: Sequence[str]) -> list[float]:
    if len(values) != len(labels):
        raise ValueError(f"expected {len(labels)} probabilities, found {len(values)}")
    return [float(value) for value in values]


def v2_json(image: bytes) -> bytes:
    """An Open Inference Protocol request with the image in base64."""
    data = [base64.b64encode(image).decode()]
    return json.dumps({"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": data}]}).encode()


def v2_binary(image: bytes) -> bytes:
    """The same with the image as it is, after a header of V2_HEADER_BYTES; asks for the answer as JSON."""
    tensor = struct.pack("<I", len(image)) + image
    sizes = {"binary_data_size": len(tensor)}
    header = {
        "inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "parameters": sizes}],
        "outputs": [{"name": "probabilities", "parameters": {"binary_data": False}}],
    }
    return json.dumps(header).encode().ljust(V2_HEADER_BYTES) + tensor


RAW = Dialect("/predict", plain_answer)
V2 = "/v2/models/photos/infer"


@dataclass(frozen=True)
class PeerFacts:
    """dialects: by variant, "" for the best.  command: after the environment's Python."""

    title: str
    dialects: dict[str, Dialect]
    command: tuple[str, ...]
    python: str = PYTHON


PEERS = {
    "fastapi": PeerFacts("FastAPI, uvicorn", {"": RAW, "thread": RAW, "pool": RAW}, ("serve_fastapi.py",)),
    "litserve": PeerFacts("LitServe", {"": RAW, "manager": RAW, "one": RAW}, ("serve_litserve.py",)),
    "bentoml": PeerFacts(
        "BentoML",
        {
            "": replace(RAW, path="/raw/predict"),
            "api": replace(RAW, headers={"Content-Type": "image/jpeg"}),
        },
        (
            "-m",
            "bentoml",
            "serve",
            "serve_bentoml:PhotoClassifier",
            "--working-dir",
            str(FOLDER),
            "--host",
            "127.0.0.1",
        ),
    ),
    "mlserver": PeerFacts(
        "MLServer",
        {"": RAW, "v2": Dialect(V2, v2_answer, {"Content-Type": "application/json"}, v2_json)},
        ("serve_mlserver.py",),
    ),
    "triton": PeerFacts(
        "Triton (PyTriton)",
        {"": Dialect(V2, v2_answer, {"Inference-Header-Content-Length": str(V2_HEADER_BYTES)}, v2_binary)},
        ("serve_triton.py",),
        DEBIAN_PYTHON,
    ),
}


class Peer(HttpContender):
    """One of PEERS. Raises ValueError for a variant that it does not have."""

    is_peer = True

    def __init__(self, name: str) -> None:
        self._package, _, self._variant = name.partition(":")
        self._facts = PEERS[self._package]
        if self._variant not in self._facts.dialects:
            raise ValueError(f"{name}: expected one of {[f'{self._package}:{v}' for v in self._facts.dialects if v]}")
        title = f"{self._facts.title} ({self._variant})" if self._variant else self._facts.title
        super().__init__(name, title, LIMIT, TOLERANCE)

    def prepare(self, cache: Path) -> None:
        make_environment(self._facts.python, FOLDER / f"{self._package}.txt", self._environment(cache))

    def launch(self, setup: Setup) -> tuple[Launched, int, Dialect]:
        port = free_port()
        folder = setup.work / self.name.replace(":", "-")
        folder.mkdir(exist_ok=True)
        environment = {
            **os.environ,
            "BENCH_MODEL": str(setup.model.onnx),
            "BENCH_SIDE": f"{setup.model.size[0]} {setup.model.size[1]}",
            "BENCH_PORT": str(port),
            "BENCH_WORKERS": str(setup.cores),
            "BENCH_VARIANT": self._variant,
            "BENTOML_DO_NOT_TRACK": "True",
            "BENTOML_HOME": str(folder),
            "BENTOML_PORT": str(port),
        }
        command = [str(FOLDER / part) if part.endswith(".py") else part for part in self._facts.command]
        python = self._environment(setup.cache) / "bin" / "python"
        launched = Launched([python, *command], environment, folder, folder / "log.txt")
        return launched, port, self._facts.dialects[self._variant]

    def _environment(self, cache: Path) -> Path:
        return cache / self._package


def make_environment(python: str, pins: Path, folder: Path) -> None:
    """Install exactly `pins` into a virtual environment, unless it has them already. Raises Skipped."""
    wanted = pins.read_text()
    done = folder / "installed.txt"
    if done.is_file() and done.read_text() == wanted:
        return
    if shutil.which(python) is None:
        raise Skipped(f"expected {python}, found none")
    run_quietly([python, "-m", "venv", "--clear", folder], f"{python} -m venv")
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run_quietly([*pip, "--no-deps", "-r", pins], f"pip install -r {pins.name}")
    done.write_text(wanted)
