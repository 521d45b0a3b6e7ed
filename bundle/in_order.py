"""Work on many items with several threads; results in the items' order, however many there are."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

AHEAD = 8  # items begun for each worker before the oldest one's result is waited for: one slow item stops nobody
Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    name: str,
    at_the_end: Callable[[], None] = lambda: None,
    ahead: int = AHEAD,
) -> Generator[Result, None, None]:
    """work(item) for each item. Items are taken, by the caller's thread, only as results are.

    What is done is given before the next item is taken; what is done while a source waits, when it goes on.
    The first result that is an exception is raised. At the end, also an early one, it waits for the items under way;
    none is begun any more.  name: of the threads.  at_the_end: called before that wait, to cut it short.
    ahead: in place of AHEAD, where items are large.
    """
    pending: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix=name)
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            while pending and (len(pending) >= workers * ahead or pending[0].done()):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        at_the_end()
        pool.shutdown(wait=True, cancel_futures=True)
