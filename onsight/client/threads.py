"""The client for ordinary programs: each call blocks until its answer is there. One may be shared by many threads."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import httpcore2

from bundle.in_order import in_order
from onsight.client.answers import Health, ImageResult, ModelDescription, ModelSummary, Prediction
from onsight.client.batch import CONCURRENCY, OF_ONE_IMAGE, check_options, check_top, progress_bar
from onsight.client.deadline import Deadlines
from onsight.client.errors import ClientError
from onsight.client.images import name_of, read_image
from onsight.client.plan import Plan
from onsight.client.steps import Lost, Outcome, Patience, Pause, Reply, Send, Steps
from onsight.client.wire import LOSSES, Incoming, Verify, base_headers, lost, pool_options, request_of

if TYPE_CHECKING:
    from onsight.client.images import ImageInput

T = TypeVar("T")


class Client:
    """One Onsight server. Safe to share between threads; connections are kept and used again.

    url: `http://host:8000`, or a model's own address such as `http://host:8000/api/predict/default/trash`.
    token: what `onsight token create` printed.
    model: NAME (of the project `default`) or PROJECT/NAME; may be left out where the server has only one.
    verify: for https: True, the system's certificate authorities; a PEM file or folder of your own; an SSLContext; or
    False, unchecked, and then without a token.
    timeout_s: for one try.  total_timeout_s: for a call with all its tries and pauses.
    retries: of lost connections; a server that says "later" (408, 429, 502, 503, 504) is asked again when it says,
    until total_timeout_s is up.
    jitter: a number in [0, 1) that spreads the pauses; `random.Random(7).random` repeats them.

    Never follows a redirect and never uses a proxy of the environment. Every error is a ClientError, but for what can
    be no image or option (TypeError, ValueError).
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        model: str | None = None,
        verify: Verify = True,
        timeout_s: float = 60.0,
        total_timeout_s: float = 120.0,
        retries: int = 6,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._plan = Plan(url, token, model, Patience(timeout_s, total_timeout_s, retries, jitter))
        self._headers = base_headers(self._plan.address, self._plan.token)
        self._deadlines = Deadlines()
        options = pool_options(self._plan.address, verify, self._plan.token)
        self._pool = httpcore2.ConnectionPool(**options, network_backend=self._deadlines)
        self._closed = threading.Event()
        self._ends = {self._closed}  # what ends pauses: the client's end, and that of each batch under way

    @property
    def origin(self) -> str:
        """`http://host:port`"""
        return self._plan.address.origin

    def predict(
        self, image: ImageInput, *, top: int | None = None, version: str | None = None, model: str | None = None
    ) -> Prediction:
        """What the model says of one image.

        image: an image file's bytes, its path, an open binary file, a Pillow image, or uint8 RGB pixels (H, W, 3).
        top: how many scores to list, all by default.  version, model: others than the highest and the client's.
        """
        check_top(top)
        return self._run(self._plan.predict(read_image(image), top, version, model), self._closed)

    def predict_many(
        self,
        images: Iterable[ImageInput],
        *,
        top: int | None = None,
        version: str | None = None,
        model: str | None = None,
        concurrency: int = CONCURRENCY,
        progress: bool = False,
    ) -> Generator[ImageResult, None, None]:
        """A result for each image, in their order and as they come, with `concurrency` requests under way.

        Images are taken from the iterable, and paths read, only a little ahead, so that there may be any number. What
        is answered while the iterable waits (for a camera, a queue) is given when it goes on. An image that cannot be
        read, or that the server refuses, is a result with an error; any other error ends it.
        progress: a bar on stderr, where that is a terminal.
        """
        check_options(concurrency, top)
        stop = threading.Event()
        failures: list[BaseException] = []

        def work(numbered: tuple[int, ImageInput]) -> ImageResult:
            index, image = numbered
            name = name_of(image)
            try:
                return ImageResult(
                    index, name, self._run(self._plan.predict(read_image(image), top, version, model), stop)
                )
            except OF_ONE_IMAGE as error:
                return ImageResult(index, name, error=error)
            except BaseException as error:
                failures.append(error)
                stop.set()  # the others need not wait out their pauses for a batch that ends here
                raise failures[0] from failures[
                    0
                ].__cause__  # not that the client's pauses were ended, but what ended them

        def results() -> Generator[ImageResult, None, None]:
            answers = in_order(work, enumerate(images), concurrency, "onsight-client", stop.set)
            self._ends.add(stop)
            try:
                with closing(answers), progress_bar(progress, images) as advance:
                    for answer in answers:
                        yield answer
                        advance()
            finally:
                self._ends.discard(stop)

        return results()

    def models(self) -> tuple[ModelSummary, ...]:
        """The models that the server has."""
        return self._run(self._plan.models(), self._closed)

    def describe(self, model: str | None = None) -> ModelDescription:
        """Everything about a model: labels, thresholds, preprocessing, metrics, which bundle it is."""
        return self._run(self._plan.describe(model), self._closed)

    def health(self) -> Health:
        """Whether predictions are welcome, and which models answer: one look. Needs no token."""
        return self._run(self._plan.health(), self._closed)

    def ready(self) -> bool:
        """Whether predictions are welcome; False also where nobody answers."""
        return self._run(self._plan.ready(), self._closed)

    def wait_until_ready(self, timeout_s: float = 60.0, model: str | None = None) -> Health:
        """Wait until predictions are welcome and the model that is named, here or for the client, is among those that
        answer. Raises Unavailable after timeout_s.
        """
        return self._run(self._plan.wait_until_ready(timeout_s, model), self._closed)

    def close(self) -> None:
        """Close the connections. What other threads wait for, answers and pauses, ends with a ClientError."""
        self._closed.set()
        for end in tuple(self._ends):
            end.set()
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._plan.shown!r})"

    def _run(self, steps: Steps[T], stop: threading.Event) -> T:
        """Carry a call's steps out; its pauses end, with the call, when `stop` is set."""
        outcome: Outcome = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            outcome = None
            if self._closed.is_set() or (isinstance(step, Pause) and stop.wait(step.seconds)):
                raise ClientError(f"{self._plan.address.origin}: expected an open client, found it closed.")
            if isinstance(step, Send):
                outcome = self._send(step)

    def _send(self, send: Send) -> Reply | Lost:
        address = self._plan.address
        try:
            with (
                self._deadlines.within(send.timeout_s),
                self._pool.stream(**request_of(address, self._headers, send)) as response,
            ):
                incoming = Incoming(address, response)
                for part in response.iter_stream():
                    incoming.add(part)
                return incoming.reply()
        except LOSSES as error:
            return lost(error, address, send)
