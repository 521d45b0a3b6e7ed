"""Run the studio: Gunicorn with threads on one port, configured from `StudioSettings` alone.

In this order, in the parent: bring the database up to date, clear what a crash left of uploads, print the one-time link
where there is no user yet, open the port, fork. Each worker opens its own database connections. SIGTERM and Ctrl-C:
running requests finish, then it exits with 0.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.workers.gthread import ThreadWorker

from server.hosting.refusals import refusal_of, refuse
from server.logs import GunicornLogger, configure_logging
from studio.access.links import new_setup_secret
from studio.app import create_app
from studio.context import StudioContext, utc_now
from studio.database.engine import Database
from studio.database.migrate import migrate
from studio.errors import StudioSetupError
from studio.images.blobs import open_blobs
from studio.jobs.supervision import start_supervision
from studio.settings import StudioSettings

log = logging.getLogger("onsight.studio")

GRACEFUL_TIMEOUT_S = 25
KEEPALIVE_S = 15
WORKER_TIMEOUT_S = 120  # of the worker's own loop; a request may take as long as it likes
MOST_REQUEST_LINE_BYTES = 8190  # as much as Gunicorn lets one set
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - Gunicorn's heartbeat files; on a disk they could block a worker


def run_studio(settings: StudioSettings, tell: Callable[[str], None]) -> None:
    """Serve until told to stop; ends by SystemExit(0) on SIGTERM and SIGINT. tell: shows a line to the operator.

    Raises StudioSetupError for a setting, a database or a port that cannot be.
    """
    configure_logging(settings.log_format, settings.log_level)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    _check_port_is_free(settings)
    prepare(settings, tell)
    supervision = start_supervision(settings, os.environ)
    try:
        StudioApplication(settings).run()
    finally:
        if supervision is not None and supervision.stdin is not None:
            supervision.stdin.close()  # it ends its workers, and itself


def prepare(settings: StudioSettings, tell: Callable[[str], None]) -> None:
    """What is done once at each start, before the port is opened."""
    settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.rmtree(settings.incoming_folder, ignore_errors=True)
    settings.incoming_folder.mkdir(mode=0o700)
    database = Database(settings.sqlalchemy_url)
    try:
        before, after = migrate(database)
        if before != after:
            log.info("database migrated", extra={"before": before, "after": after})
        open_blobs(settings.images_url, settings.folder)
        with database.writing() as connection:
            secret = new_setup_secret(connection, utc_now(), timedelta(hours=settings.link_hours))
    finally:
        database.close()
    if secret is None:
        tell(f"The studio: {settings.public_url}")
    else:
        tell("There is no user yet. Make the first one, an admin, with this link, once:")
        tell(setup_link(settings, secret))


def setup_link(settings: StudioSettings, secret: str) -> str:
    """After the `#`, which browsers keep to themselves: no log between here and there has it."""
    return f"{settings.public_url}/setup#{secret}"


def open_parts(settings: StudioSettings) -> StudioContext:
    """Database and stores of this process."""
    originals, thumbnails = open_blobs(settings.images_url, settings.folder)
    return StudioContext(settings, Database(settings.sqlalchemy_url, settings.threads), originals, thumbnails)


class StudioWorker(ThreadWorker):  # type: ignore[misc]
    """Gunicorn's own, but what is no HTTP gets a problem document like every other error."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        with contextlib.suppress(OSError):  # the client is gone
            refuse(client, refusal_of(exc), keep=False, error=exc)


class StudioApplication(BaseApplication):  # type: ignore[misc]
    """One studio: lives in the parent, and after each fork in a worker."""

    def __init__(self, settings: StudioSettings) -> None:
        self.settings = settings
        super().__init__()

    def load_config(self) -> None:
        for name, value in gunicorn_options(self.settings).items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return create_app(open_parts(self.settings))


def gunicorn_options(settings: StudioSettings) -> dict[str, Any]:
    """Our settings in Gunicorn's names."""
    options: dict[str, Any] = {
        "bind": f"[{settings.host}]:{settings.port}" if ":" in settings.host else f"{settings.host}:{settings.port}",
        "workers": settings.workers,
        "worker_class": StudioWorker,
        "threads": settings.threads,
        "timeout": WORKER_TIMEOUT_S,
        "graceful_timeout": GRACEFUL_TIMEOUT_S,
        "keepalive": KEEPALIVE_S,
        "loglevel": settings.log_level,
        "logger_class": GunicornLogger,
        "proc_name": "onsight-studio",
        "limit_request_line": MOST_REQUEST_LINE_BYTES,
        "control_socket_disable": True,
        "forwarded_allow_ips": "",
    }
    if os.access(SHARED_MEMORY, os.W_OK):
        options["worker_tmp_dir"] = SHARED_MEMORY
    return options


def _check_port_is_free(settings: StudioSettings) -> None:
    """Gunicorn would not say what to do."""
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
    except OSError:
        return  # Gunicorn says what is wrong with the address
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise StudioSetupError(
                    f"port {settings.port}: expected it to be free, found another program on it. Stop that, or choose"
                    " another with --port or ONSIGHT_STUDIO_PORT."
                ) from error
