"""Gunicorn's parent process, bent where our promises need it. Knows nothing of models.

On SIGTERM readiness says so first, and the port stays open for a while. SIGHUP makes all workers look at the models
folder; nobody is restarted, no connection is closed. systemd is told when the models are loaded, and when it ends.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter

from server.hosting.lifecycle import Lifecycle
from server.hosting.notify import ServiceManager

log = logging.getLogger("onsight.server")


class OnsightArbiter(Arbiter):  # type: ignore[misc]
    """Announces its end before it comes."""

    def __init__(
        self,
        app: BaseApplication,
        lifecycle: Lifecycle,
        drain_s: float,
        service_manager: ServiceManager,
        tend: Callable[[], None],
    ) -> None:
        """tend: called at least once a second and whenever a child has ended, until all workers have; never waits."""
        self._lifecycle = lifecycle
        self._drain_s = drain_s
        self._service_manager = service_manager
        self._said_ready = False
        self._tend = tend
        super().__init__(app)

    def manage_workers(self) -> None:
        """Called about once a second."""
        super().manage_workers()
        if self._lifecycle.served and not self._said_ready and not self._lifecycle.draining:
            self._said_ready = True
            self._service_manager.tell("READY=1", "STATUS=serving")

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        self._tend()
        signals: list[int] = super().wait_for_signals(timeout)
        return signals

    def reap_workers(self) -> None:
        """Called for every SIGCHLD, and again and again while workers are being stopped."""
        super().reap_workers()
        self._tend()

    def handle_term(self) -> None:
        self._lifecycle.start_draining()
        self._service_manager.tell("STOPPING=1", "STATUS=draining")
        log.info("draining", extra={"seconds": self._drain_s})
        end = time.monotonic() + self._drain_s
        while (left := end - time.monotonic()) > 0:
            signals = set(self.wait_for_signals(timeout=min(left, 0.2)))
            if {signal.SIGINT, signal.SIGQUIT} & signals:
                break  # someone at a keyboard will not wait
            if signal.SIGCHLD in signals:  # the port is open, so somebody has to answer
                self.reap_workers()
                self.manage_workers()
        super().handle_term()

    def handle_hup(self) -> None:
        log.info("looking at the models folder", extra={"generation": self._lifecycle.raise_generation()})
