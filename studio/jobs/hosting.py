"""Run a worker as a process of its own: `onsight studio worker`. It serves nothing, and loads no torch.

SIGTERM and Ctrl-C: the running job is asked to save what it has and goes back into the queue; exit status 0.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from datetime import timedelta

from server.logs import configure_logging
from studio.context import utc_now
from studio.database.engine import Database
from studio.database.migrate import migrate
from studio.images.blobs import open_blobs
from studio.jobs.queue import SHORT_KINDS, Kind
from studio.jobs.worker import Worker
from studio.settings import StudioSettings


def run_worker(settings: StudioSettings, *, short: bool = False, attached: bool = False) -> None:
    """Until told to stop. short: for jobs of SHORT_KINDS alone.  attached: it ends when standard input closes, too.

    Raises StudioSetupError for a setting or a database that cannot be."""
    configure_logging(settings.log_format, settings.log_level)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = Database(settings.sqlalchemy_url, threads=2)
    originals, _ = open_blobs(settings.images_url, settings.folder)
    try:
        migrate(database)
        worker = Worker(
            database=database,
            originals=originals,
            root=settings.jobs_folder,
            environment={**os.environ, "ONSIGHT_HOME": str(settings.home)},
            now=utc_now,
            kinds=SHORT_KINDS if short else tuple(Kind),
            stale_after=timedelta(seconds=settings.job_silence_s),
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, worker.stop)
        if attached:
            threading.Thread(target=_await_end_of_input, args=(worker.stop,), daemon=True).start()
        worker.run()
    finally:
        database.close()


def _await_end_of_input(then: Callable[[], None]) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    then()
