"""Onsight itself: `onsight serve` with a token and its log in a file, by default settings but for those named."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

from benchmarks.serving.contender import Dialect, HttpContender, Setup, Skipped
from benchmarks.serving.launch import Launched, free_port
from benchmarks.serving.limit import SCALED_LIMIT
from benchmarks.serving.model import clean_environment
from bundle.home import OnsightHome
from server.tokens import Scope, TokenStore

TOLERANCES = {"fp32": 1e-4, "fp16": 0.05, "int8": 0.25}


def cloud_answer(body: bytes, labels: Sequence[str]) -> list[float]:
    """`[{"label": "cat", "score": 97.3}]`, scores in percent."""
    scores = {entry["label"]: entry["score"] / 100 for entry in json.loads(body)}
    return [scores[label] for label in labels]


class Onsight(HttpContender):
    """precision: of the form that serves, where `auto` would choose.  settings: more of the server's, by variable."""

    def __init__(
        self,
        name: str,
        title: str,
        precision: Literal["fp32", "fp16", "int8"],
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name, title, SCALED_LIMIT, TOLERANCES[precision])
        self._precision = precision
        self._settings = settings or {}

    def launch(self, setup: Setup) -> tuple[Launched, int, Dialect]:
        if self._precision not in setup.model.precisions():
            found = ", ".join(sorted(setup.model.precisions()))
            raise Skipped(f"the bundle has no {self._precision} form (it has {found})")
        folder = setup.work / self.name
        shutil.rmtree(folder, ignore_errors=True)
        models, home = folder / "models", OnsightHome(folder / "home")  # so that no token is left in the user's
        models.mkdir(parents=True)
        shutil.copy(setup.model.bundle, models / "model.onsight")
        shutil.copytree(OnsightHome(setup.model.home).trust_dir, home.trust_dir)
        token = TokenStore(home.tokens_path).create("benchmark", (Scope.PREDICT,), datetime.now(UTC))
        environment = clean_environment(home.path) | {"ONSIGHT_PRECISION": self._precision, **self._settings}
        port = free_port()
        command = [sys.executable, "-m", "onsight.cli", "serve", models, "--port", str(port)]
        launched = Launched(command, environment, folder, folder / "log.txt")
        path = f"/api/predict/default/{setup.model.manifest.name}"
        headers = {"Content-Type": "application/octet-stream", "X-Auth-token": token}
        return launched, port, Dialect(path, cloud_answer, headers)
