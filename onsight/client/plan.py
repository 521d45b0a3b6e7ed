"""What to send, how long to wait, when to try again, what an answer means: all of it without a socket or a sleep.

Each call is a generator. It yields `Send` or `Pause`, is told what came of it (`Reply`, `Lost`, or nothing after a
pause), and returns the call's result or raises a ClientError. The two clients only carry these steps out, one with
threads, one with asyncio, so that both do the same.

Tried again: an answer 408, 429, 502, 503 or 504, no sooner than Retry-After says, until the call's time is up; a lost
connection, `retries` times, with pauses twice as long each time. A prediction changes nothing, so asking twice does no
harm. Told at once: a server that was never reached, a certificate that is not trusted, and every other answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from onsight.client.address import Address, ModelName, checked_token
from onsight.client.answers import Health, ModelDescription, ModelSummary, Prediction
from onsight.client.errors import AddressError, CertificateRefused, ClientError, NoAnswer, Unavailable
from onsight.client.replies import LATER, document_of, json_of, read_as, refusal, seconds_said
from onsight.client.steps import Lost, Outcome, Patience, Pause, Reply, Send, Steps

SHORTEST_TRY_S = 0.05
HEALTH_TRY_S, HEALTH_PAUSE_S = 5.0, 0.25


class Plan:
    """Every call to one server. May be used by several threads at once.

    clock: seconds that never go back.  Raises AddressError for a URL, a token or a model that cannot be.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        model: str | None,
        patience: Patience,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.address = Address.parse(url)
        self.token = checked_token(token)
        if model is not None and self.address.model is not None:
            raise AddressError(f"model: expected it once, found it in the URL ({self.address.model}) and beside it.")
        self.model = self.address.model if model is None else ModelName.parse(model)
        self._patience = patience
        self._clock = clock
        self._met = False  # an answer has come from there: what is lost from now on is a restart, not a wrong address

    @property
    def shown(self) -> str:
        """The URL that this is made with again, the token left out."""
        below = "" if self.model is None else f"/api/predict/{self.model}"
        return f"{self.address.origin}{self.address.prefix}{below}"

    def predict(self, image: bytes, top: int | None, version: str | None, model: str | None) -> Steps[Prediction]:
        name = yield from self._chosen(model)
        options = {key: value for key, value in (("top", top), ("version", version)) if value is not None}
        query = f"?{urlencode(options)}" if options else ""
        document = yield from self._ask("POST", f"/v1/predict/{name}{query}", image)
        return read_as(Prediction.from_answer, document, self.address.origin)

    def models(self) -> Steps[tuple[ModelSummary, ...]]:
        document = yield from self._ask("GET", "/v1/models")
        return read_as(
            lambda found: tuple(map(ModelSummary.from_answer, found["models"])), document, self.address.origin
        )

    def describe(self, model: str | None) -> Steps[ModelDescription]:
        name = yield from self._chosen(model)
        document = yield from self._ask("GET", f"/v1/models/{name}")
        return read_as(ModelDescription.from_answer, document, self.address.origin)

    def health(self) -> Steps[Health]:
        """One look, without a second try."""
        outcome = yield Send("GET", self._path("/health/ready"), None, min(self._patience.timeout_s, HEALTH_TRY_S))
        if isinstance(outcome, Lost):
            raise self._no_answer(outcome) from outcome.cause
        assert isinstance(outcome, Reply)
        status, document = outcome.status, json_of(outcome.body)
        not_ready = (
            status == 503 and isinstance(document, dict) and "models" in document
        )  # else it is a proxy's own 503
        if not not_ready:
            document = document_of(outcome, self.address.origin, self.token)
        return read_as(lambda found: Health.from_answer(status, found), document, self.address.origin)

    def ready(self) -> Steps[bool]:
        try:
            health = yield from self.health()
        except CertificateRefused:
            raise
        except (NoAnswer, Unavailable):
            return False
        return health.ready

    def wait_until_ready(self, timeout_s: float, model: str | None) -> Steps[Health]:
        """Look again and again. The model that is named, here or for all calls, must be among those that answer."""
        wanted = self.model if model is None else ModelName.parse(model)
        end = self._clock() + timeout_s
        while True:
            try:
                health = yield from self.health()
                there = {ModelName(each.project, each.name) for each in health.models}
                if health.ready and (wanted is None or wanted in there):
                    return health
                found = f"it ready, without the model {wanted}." if health.ready else f"it {health.status}."
            except CertificateRefused:
                raise
            except (NoAnswer, Unavailable) as error:
                found = f"this: {error}"
            left = end - self._clock()
            if left <= 0:
                raise Unavailable(f"{self.address.origin}: expected it to be ready in {timeout_s:g} s, found {found}")
            yield Pause(min(left, HEALTH_PAUSE_S))

    def _path(self, path: str) -> str:
        return self.address.prefix + path

    def _chosen(self, model: str | None) -> Steps[ModelName]:
        """The call's model, the client's, or the server's only one."""
        if model is not None:
            return ModelName.parse(model)
        if self.model is None:
            served = yield from self.models()
            names = {ModelName(each.project, each.name) for each in served}
            if len(names) != 1:
                raise AddressError(
                    "model: expected its name, since the server has"
                    f" {', '.join(sorted(map(str, names))) or 'none'}. Name it (`onsight predict"
                    " MODEL IMAGES --server ...`, `Client(url, model=...)`), or add /api/predict/PROJECT/MODEL to the"
                    " server's address."
                )
            (self.model,) = names
        return self.model

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Steps[Any]:
        """One call with all its tries."""
        end = self._clock() + self._patience.total_timeout_s
        lost = refused = 0
        while True:
            left = max(end - self._clock(), SHORTEST_TRY_S)
            outcome = yield Send(method, self._path(path), body, min(self._patience.timeout_s, left))
            error: ClientError
            if isinstance(outcome, Reply):
                self._met = True
                if outcome.status not in LATER:
                    return document_of(outcome, self.address.origin, self.token)
                error = refusal(outcome, self.address.origin, self.token)
                pause_s = self._patience.later_s(seconds_said(outcome.retry_after), refused)
                refused += 1
            else:
                assert isinstance(outcome, Lost)
                error = self._no_answer(outcome, lost)
                if outcome.final or lost >= self._patience.retries or not (outcome.reached or self._met):
                    raise error from outcome.cause
                pause_s = self._patience.pause_s(lost)
                lost += 1
            if self._clock() + pause_s >= end:
                raise error from _cause(outcome)
            yield Pause(pause_s)

    def _no_answer(self, lost: Lost, earlier: int = 0) -> ClientError:
        if lost.final is not None:
            return lost.final
        tries = f" ({earlier + 1} times)" if earlier else ""
        if not lost.reached:
            return NoAnswer(
                f"{self.address.origin}: expected an Onsight server, found: {lost.reason}{tries}. Is it running, and is"
                " this its address?"
            )
        doubt = "Is the server well?" if self._met else "Is it an Onsight server, and is http or https right?"
        return NoAnswer(f"{self.address.origin}: expected an answer, found: {lost.reason}{tries}. {doubt}")


def _cause(outcome: Outcome) -> BaseException | None:
    return outcome.cause if isinstance(outcome, Lost) else None
