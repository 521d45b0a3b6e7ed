"""Gunicorn's parent process, bent where our promises need it. Knows nothing of models.

On SIGTERM readiness says so first, and the port stays open for a while. SIGHUP makes all workers look at the models
folder; nobody is restarted, no connection is closed.
"""

from __future__ import annotations

import logging
import signal
import time

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter

from server.hosting.lifecycle import Lifecycle

log = logging.getLogger("onsight.server")


class OnsightArbiter(Arbiter):  # type: ignore[misc]
    """Announces its end before it comes."""

    def __init__(self, app: BaseApplication, lifecycle: Lifecycle, drain_s: float) -> None:
        self._lifecycle = lifecycle
        self._drain_s = drain_s
        super().__init__(app)

    def handle_term(self) -> None:
        self._lifecycle.start_draining()
        log.info("draining", extra={"seconds": self._drain_s})
        end = time.monotonic() + self._drain_s
        while (left := end - time.monotonic()) > 0:
            if {signal.SIGINT, signal.SIGQUIT} & set(self.wait_for_signals(timeout=min(left, 0.2))):
                break  # someone at a keyboard will not wait
        super().handle_term()

    def handle_hup(self) -> None:
        log.info("looking at the models folder", extra={"generation": self._lifecycle.raise_generation()})
