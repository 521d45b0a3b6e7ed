"""The client for programs on asyncio: the same calls and results as `Client`, awaited."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import httpcore2

from bundle.in_order import AHEAD
from onsight.client.answers import Health, ImageResult, ModelDescription, ModelSummary, Prediction
from onsight.client.batch import CONCURRENCY, OF_ONE_IMAGE, check_options, check_top, progress_bar
from onsight.client.errors import ClientError
from onsight.client.images import is_at_hand, name_of, read_image
from onsight.client.plan import Plan
from onsight.client.steps import Lost, Outcome, Patience, Pause, Reply, Send, Steps
from onsight.client.wire import LOSSES, Incoming, Verify, base_headers, lost, pool_options, request_of

if TYPE_CHECKING:
    from onsight.client.images import ImageInput

T = TypeVar("T")


class AsyncClient:
    """One Onsight server, for asyncio: the parameters, methods and results of `Client`. For one event loop."""

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
        self._pool = httpcore2.AsyncConnectionPool(**pool_options(self._plan.address, verify, self._plan.token))
        self._closed = False

    @property
    def origin(self) -> str:
        """`http://host:port`"""
        return self._plan.address.origin

    async def predict(
        self, image: ImageInput, *, top: int | None = None, version: str | None = None, model: str | None = None
    ) -> Prediction:
        """See `Client.predict`. Files are read, and pixels packed, in a thread."""
        check_top(top)
        data = read_image(image) if is_at_hand(image) else await asyncio.to_thread(read_image, image)
        return await self._run(self._plan.predict(data, top, version, model))

    def predict_many(
        self,
        images: Iterable[ImageInput] | AsyncIterable[ImageInput],
        *,
        top: int | None = None,
        version: str | None = None,
        model: str | None = None,
        concurrency: int = CONCURRENCY,
        progress: bool = False,
    ) -> AsyncGenerator[ImageResult, None]:
        """See `Client.predict_many`; for `async for`. images: may be an asynchronous iterable."""
        check_options(concurrency, top)
        turns = asyncio.Semaphore(concurrency)
        failed: asyncio.Future[Exception]

        async def work(index: int, image: ImageInput) -> ImageResult:
            name = name_of(image)
            try:
                async with turns:
                    return ImageResult(index, name, await self.predict(image, top=top, version=version, model=model))
            except OF_ONE_IMAGE as error:
                return ImageResult(index, name, error=error)
            except Exception as error:
                if not failed.done():
                    failed.set_result(error)
                raise

        async def in_order() -> AsyncGenerator[ImageResult, None]:
            nonlocal failed
            failed = asyncio.get_running_loop().create_future()
            pending: deque[asyncio.Task[ImageResult]] = deque()
            index = 0
            try:
                async with aclosing(_each(images)) as each:
                    async for image in each:
                        pending.append(asyncio.create_task(work(index, image)))
                        index += 1
                        while pending and (len(pending) >= concurrency * AHEAD or pending[0].done()):
                            yield await _first(pending, failed)
                while pending:
                    yield await _first(pending, failed)
            finally:
                for task in pending:
                    task.cancel()
                await asyncio.gather(*pending, return_exceptions=True)

        async def results() -> AsyncGenerator[ImageResult, None]:
            with progress_bar(progress, images) as advance:
                async with aclosing(in_order()) as answers:
                    async for answer in answers:
                        yield answer
                        advance()

        return results()

    async def models(self) -> tuple[ModelSummary, ...]:
        """The models that the server has."""
        return await self._run(self._plan.models())

    async def describe(self, model: str | None = None) -> ModelDescription:
        """Everything about a model: labels, thresholds, preprocessing, metrics, which bundle it is."""
        return await self._run(self._plan.describe(model))

    async def health(self) -> Health:
        """Whether predictions are welcome, and which models answer: one look. Needs no token."""
        return await self._run(self._plan.health())

    async def ready(self) -> bool:
        """Whether predictions are welcome; False also where nobody answers."""
        return await self._run(self._plan.ready())

    async def wait_until_ready(self, timeout_s: float = 60.0, model: str | None = None) -> Health:
        """See `Client.wait_until_ready`."""
        return await self._run(self._plan.wait_until_ready(timeout_s, model))

    async def close(self) -> None:
        """Close the connections."""
        self._closed = True
        await self._pool.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._plan.shown!r})"

    async def _run(self, steps: Steps[T]) -> T:
        """Carry a call's steps out."""
        outcome: Outcome = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            outcome = None
            if self._closed:
                raise ClientError(f"{self._plan.address.origin}: expected an open client, found it closed.")
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
            else:
                outcome = await self._send(step)

    async def _send(self, send: Send) -> Reply | Lost:
        address = self._plan.address
        try:
            async with (
                asyncio.timeout(send.timeout_s),
                self._pool.stream(**request_of(address, self._headers, send)) as response,
            ):
                incoming = Incoming(address, response)
                async for part in response.aiter_stream():
                    incoming.add(part)
                return incoming.reply()
        except LOSSES as error:
            return lost(error, address, send)


async def _first(pending: deque[asyncio.Task[T]], failed: asyncio.Future[Exception]) -> T:
    """The oldest task's result, taken from the queue; or what ended the batch, for which nobody waits out a pause."""
    if not pending[0].done():
        await asyncio.wait((pending[0], failed), return_when=asyncio.FIRST_COMPLETED)
    if not pending[0].done():
        raise failed.result()
    return pending.popleft().result()


async def _each(images: Iterable[T] | AsyncIterable[T]) -> AsyncGenerator[T, None]:
    if isinstance(images, AsyncIterable):
        async for image in images:
            yield image
    else:
        for image in images:
            yield image
