"""Load and unload by name, seen from one worker: whom it waits for, for how long, and what it says."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from running_server import Install
from test_keeper import Kept

from server.errors import ChangeNotKept, ChangeUnderWay, ModelNotLoaded, StillChanging, UnknownModel
from server.hosting.board import Board
from server.hosting.lifecycle import Lifecycle
from server.models.changes import AT_ONCE, Changes
from server.models.wishes import Wishes

KEY = ("default", "colours")
MINE, OTHER = 0, 1


class Worker:
    """One worker with its keeper's thread, and a sibling that only says what it is told to say."""

    def __init__(self, install: Install, *, wait_s: float = 10.0, wishes: Wishes | None = None) -> None:
        self.kept = Kept(install)
        self.lifecycle, self.board = Lifecycle(), Board(2)
        for slot in (MINE, OTHER):
            assert self.board.claim() == slot
        self.board.report(MINE, os.getpid(), True, 0, 0)
        self.changes = Changes(
            self.kept.registry, wishes or self.kept.wishes, self.lifecycle, self.board, wait_s=wait_s
        )

    @contextmanager
    def running(self) -> Iterator[Changes]:
        stop = threading.Event()

        def follow() -> None:
            while not stop.is_set():
                generation = self.lifecycle.generation
                self.kept.look()
                self.board.report_models(MINE, self.kept.registry.table.digest, generation)
                time.sleep(0.01)

        thread = threading.Thread(target=follow)
        thread.start()
        try:
            yield self.changes
        finally:
            stop.set()
            thread.join()

    def sibling(self, *, generation: int, models: int = 0) -> None:
        self.board.report(OTHER, 12345, True, 0, 0)
        self.board.report_models(OTHER, models, generation)


def test_a_change_waits_for_every_worker_and_says_whether_they_agree(install: Install) -> None:
    install.add_bundle()
    worker = Worker(install)
    worker.sibling(generation=1000)
    with worker.running() as changes:
        outcome = changes.load(KEY, None)
        assert (outcome.serving, outcome.workers, outcome.in_step) == (("1",), 2, False)
        worker.sibling(generation=1000, models=worker.kept.registry.table.digest)
        assert changes.load(KEY, None).in_step


def test_a_worker_that_has_only_been_claimed_a_place_is_not_waited_for(install: Install) -> None:
    install.add_bundle()
    with Worker(install).running() as changes:
        assert changes.load(KEY, "1").workers == 1


def test_a_worker_that_does_not_come_to_an_end_is_said_and_the_wish_stands(install: Install) -> None:
    install.add_bundle()
    worker = Worker(install, wait_s=0.2)
    worker.sibling(generation=0)
    with worker.running() as changes:
        with pytest.raises(StillChanging):
            changes.unload(KEY, None)
        assert worker.kept.wishes.read()[KEY].follow is False
        with pytest.raises(StillChanging):
            changes.load(KEY, None)
        assert worker.kept.wishes.read() == {}


def test_callers_beyond_a_few_do_not_wait_where_health_checks_are_answered(install: Install) -> None:
    install.add_bundle()
    worker = Worker(install, wait_s=2.0)
    worker.sibling(generation=0)

    def wait_in_vain() -> None:
        with pytest.raises(StillChanging):
            worker.changes.load(KEY, None)

    waiting = [threading.Thread(target=wait_in_vain) for _ in range(AT_ONCE)]
    for thread in waiting:
        thread.start()
    while worker.lifecycle.generation < AT_ONCE:
        time.sleep(0.01)
    with pytest.raises(ChangeUnderWay):
        worker.changes.load(KEY, None)
    for thread in waiting:
        thread.join()
    worker.sibling(generation=1000)
    with worker.running() as changes:
        assert changes.load(KEY, None).serving == ("1",)


def test_what_is_not_there_is_unknown_and_what_does_not_load_says_why(install: Install) -> None:
    install.add_bundle(golden_shift=0.1)
    worker = Worker(install)
    with worker.running() as changes:
        with pytest.raises(UnknownModel):
            changes.load(("default", "other"), None)
        with pytest.raises(UnknownModel):
            changes.unload(KEY, "2")
        with pytest.raises(ModelNotLoaded, match="golden image 1"):
            changes.load(KEY, None)
        with pytest.raises(ModelNotLoaded, match="golden image 1"):
            changes.load(KEY, "1")


def test_a_home_that_cannot_be_written_changes_nothing(install: Install, tmp_path: Path) -> None:
    install.add_bundle()
    (tmp_path / "file").write_text("in the way")
    worker = Worker(install, wishes=Wishes(tmp_path / "file" / "wishes.json"))
    with worker.running() as changes:
        with pytest.raises(ChangeNotKept):
            changes.unload(KEY, None)
        assert worker.kept.versions == ["1"]


def test_every_raise_of_the_generation_counts_whoever_raises_it() -> None:
    lifecycle = Lifecycle()

    def raise_often() -> None:
        threads = [
            threading.Thread(target=lambda: [lifecycle.raise_generation() for _ in range(200)]) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    children = []
    for _ in range(3):
        pid = os.fork()
        if not pid:
            raise_often()
            os._exit(0)
        children.append(pid)
    raise_often()
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
    assert lifecycle.generation == 4 * 2 * 200
