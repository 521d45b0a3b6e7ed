"""Both clients behind one face, so that each test speaks for both; the asynchronous one has a loop of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Self

from onsight import AsyncClient, Client, Health, ImageResult, ModelDescription, ModelSummary, Prediction

AnyClient = Any  # Client, or Driven
Connect = Callable[..., AnyClient]  # connect(url, token, model=...): closed at the test's end


class Driven:
    """An AsyncClient whose methods block."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncClient(*arguments, **options)

    def predict(self, image: Any, **options: Any) -> Prediction:
        return self._runner.run(self._client.predict(image, **options))

    def predict_many(self, images: Iterable[Any], **options: Any) -> list[ImageResult]:
        """All at once. An iterator is drawn from in a thread, since one of a test's may take its time."""
        given = _in_thread(images) if hasattr(images, "__next__") else images

        async def collect() -> list[ImageResult]:
            return [result async for result in self._client.predict_many(given, **options)]

        return self._runner.run(collect())

    def models(self) -> tuple[ModelSummary, ...]:
        return self._runner.run(self._client.models())

    def describe(self, model: str | None = None) -> ModelDescription:
        return self._runner.run(self._client.describe(model))

    def health(self) -> Health:
        return self._runner.run(self._client.health())

    def ready(self) -> bool:
        return self._runner.run(self._client.ready())

    def wait_until_ready(self, timeout_s: float = 60.0, model: str | None = None) -> Health:
        return self._runner.run(self._client.wait_until_ready(timeout_s, model))

    def close(self) -> None:
        self._runner.run(self._client.close())
        self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self._client)


async def _in_thread(images: Iterable[Any]) -> AsyncIterator[Any]:
    iterator, end = iter(images), object()
    while (image := await asyncio.to_thread(next, iterator, end)) is not end:
        yield image


KINDS: dict[str, Callable[..., AnyClient]] = {"threads": Client, "asyncio": Driven}
