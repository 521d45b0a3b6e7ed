"""What asking about many images has in common, with threads and with asyncio."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager

from onsight.client.errors import ImageRefused, ImageUnreadable

OF_ONE_IMAGE = (ImageUnreadable, ImageRefused)  # any other error would be the same for every image
CONCURRENCY = 8


def check_options(concurrency: int, top: int | None) -> None:
    """Raises ValueError."""
    if concurrency < 1:
        raise ValueError(f"concurrency: expected a whole number from 1, found {concurrency!r}.")
    check_top(top)


def check_top(top: int | None) -> None:
    """Raises ValueError."""
    if top is not None and (isinstance(top, bool) or not isinstance(top, int) or top < 1):
        raise ValueError(f"top: expected a whole number from 1, found {top!r}.")


@contextmanager
def progress_bar(wanted: bool, images: object) -> Iterator[Callable[[], object]]:
    """What to call after each image. A bar on stderr where wanted, and only where that is a terminal."""
    if not wanted:
        yield lambda: None
        return
    from tqdm import tqdm

    total = len(images) if isinstance(images, Sized) else None
    with tqdm(total=total, unit=" images", disable=None) as bar:
        yield bar.update
