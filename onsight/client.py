"""Ask an Onsight server about images, from a program or the command line. Standard library alone.

One connection is kept and used again. A server that is busy or starting (429, 503) is asked again when it says so, and
so is one that drops the connection: a prediction changes nothing, so asking twice does no harm. Never follows a
redirect (the token would travel with it) and never uses a proxy from the environment.
"""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from bundle.errors import OnsightError

RETRIED = (429, 503)
MAX_PAUSE_S = 30.0
NAME = re.compile(r"[A-Za-z0-9._-]+")
PREDICT_PATH = re.compile(r"/(?:api|v1)/predict/([A-Za-z0-9._-]+)/([A-Za-z0-9._-]+)/?")


class ClientError(OnsightError):
    """The server refused, or could not be asked. status: of the answer, or None where there was none."""

    def __init__(self, message: str, status: int | None = None, code: str = "CLIENT", request_id: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.request_id = request_id


class Client:
    """One server, one model, one connection; for several threads make several.

    url: `http://host:8000`, or a model's own address as in `http://host:8000/api/predict/default/trash`.
    model: may be left out where the server has only one.  retries: further tries after the first.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        project: str = "default",
        model: str | None = None,
        timeout_s: float = 60.0,
        retries: int = 5,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        try:
            parts = urlsplit(url)
            fits = parts.scheme in ("http", "https") and parts.hostname and not parts.username and not parts.query
            port = parts.port  # ValueError beyond 65535
        except ValueError:
            fits = False
        if not fits:
            raise ClientError(f"server: expected an address such as http://localhost:8000, found {url!r}.")
        named = PREDICT_PATH.search(parts.path)
        if named:
            project, model = named[1], named[2]
        for name in (project, model):
            if name is not None and not NAME.fullmatch(name):
                raise ClientError(f"model: expected letters, digits, '.', '_' and '-', found {name!r}.")
        token = (token or "").strip()
        if not (token.isascii() and token.isprintable()):
            raise ClientError("token: expected letters, digits and '-' in one line, found others. Copy it again.")
        self._prefix = (parts.path[: named.start()] if named else parts.path).rstrip("/")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(str(parts.hostname), port, timeout=timeout_s)
        self._address = f"{parts.scheme}://{parts.netloc}"
        self._headers = {"X-Auth-token": token} if token else {}
        self._project = project
        self._model = model
        self._retries = retries
        self._sleep = sleep

    def predict(self, image: bytes, top: int | None = None) -> dict[str, Any]:
        """The full answer for one image file's bytes: labels, unknown, scores, timings_ms, model, version, request_id.

        top: how many scores to list.  Raises ClientError.
        """
        query = "" if top is None else f"?top={top}"
        answer = self._ask("POST", f"/v1/predict/{self._project}/{self._model_name()}{query}", image)
        return dict(answer)

    def models(self) -> list[dict[str, Any]]:
        """The models that the server has. Raises ClientError."""
        return list(self._ask("GET", "/v1/models")["models"])

    def describe(self) -> dict[str, Any]:
        """The model: labels, thresholds, preprocessing, metrics, provider. Raises ClientError."""
        name = self._model_name()
        return dict(self._ask("GET", f"/v1/models/{self._project}/{name}"))

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _model_name(self) -> str:
        if self._model is None:
            names = [f"{model['project']}/{model['name']}" for model in self.models()]
            if len(names) != 1:
                raise ClientError(
                    f"model: expected its name, since the server has {', '.join(names) or 'none'}. Add"
                    " /api/predict/PROJECT/MODEL to the server's address."
                )
            self._project, self._model = names[0].split("/")
        return self._model

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        headers = {**self._headers, **({"Content-Type": "application/octet-stream"} if body is not None else {})}
        for attempt in range(self._retries + 1):
            last = attempt == self._retries
            try:
                self._connection.request(method, self._prefix + path, body, headers)
                response = self._connection.getresponse()
                data = response.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()  # it is opened again by the next request
                if last:
                    raise ClientError(
                        f"{self._address}: no answer ({type(error).__name__}). Is the server running?"
                    ) from error
                self._sleep(_backoff_s(attempt))
                continue
            if response.status in RETRIED and not last:
                self._sleep(pause_s(response.headers.get("Retry-After", ""), attempt))
                continue
            return _read_answer(response.status, data, self._address)
        raise AssertionError("unreachable")


def pause_s(retry_after: str, attempt: int, now: Callable[[], float] = time.time) -> float:
    """Seconds to wait, at most 30: what Retry-After says (a number or a date), else twice as long each time.

    retry_after: the header's value, "" where there is none.  now: seconds since 1970.
    """
    said = retry_after.strip()
    if said.isascii() and said.isdigit():
        return min(float(said), MAX_PAUSE_S)
    try:
        return min(max(0.0, parsedate_to_datetime(said).timestamp() - now()), MAX_PAUSE_S)
    except ValueError:
        return _backoff_s(attempt)


def _backoff_s(attempt: int) -> float:
    return float(min(0.25 * 2**attempt, MAX_PAUSE_S))


def _read_answer(status: int, data: bytes, address: str) -> Any:
    try:
        document = json.loads(data)
    except ValueError:
        raise ClientError(
            f"{address}: expected JSON, found something else. Is this an Onsight server?", status
        ) from None
    if 200 <= status < 300:
        return document
    problem = document if isinstance(document, dict) else {}
    raise ClientError(
        str(problem.get("detail", f"The server answered {status}.")),
        status,
        str(problem.get("code", "HTTP")),
        str(problem.get("request_id", "")),
    )
