"""Run the server: Gunicorn with threads, configured from `ServerSettings` alone.

In this order: refuse an unsafe address, open the port, read and verify the bundles, fork. Each worker builds its own
engines after the fork (a runtime's threads do not survive one) from the bytes that the parent verified once, so all
workers always serve the same models. SIGHUP reads the models folder again, into new workers. SIGTERM: readiness turns
503, the port stays open for `drain_s`, then running requests finish, then exit 0.
"""

from __future__ import annotations

import errno
import gc
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

from gunicorn.app.base import BaseApplication

from bundle.decode import ImageLimits
from bundle.home import OnsightHome
from bundle.trust import TrustStore
from server.app import create_app
from server.auth import check_safe_to_listen
from server.engines.onnx_runtime import OnnxRuntimeOptions, onnx_runtime_factory
from server.errors import ConfigurationError
from server.fast_lane import FastLane
from server.hosting.arbiter import OnsightArbiter
from server.hosting.board import Board
from server.hosting.lifecycle import Lifecycle
from server.hosting.refusals import Refusal
from server.hosting.worker import OnsightWorker
from server.logs import GunicornLogger, configure_logging
from server.models.registry import Registry
from server.models.shelf import Shelf, read_shelf
from server.settings import ServerSettings
from server.tokens import TokenStore
from server.uploads import FORM_OVERHEAD_BYTES

log = logging.getLogger("onsight.server")

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - Gunicorn's heartbeat files; on a disk they could block a worker


def serve(settings: ServerSettings) -> None:
    """Serve until told to stop; ends by SystemExit(0) on SIGTERM and SIGINT.

    Raises ConfigurationError for an address that is not safe to listen on, TokenStoreError for a broken token file.
    """
    configure_logging(settings.log_format, settings.log_level)
    tokens = TokenStore(OnsightHome(settings.home).tokens_path)
    check_safe_to_listen(settings, tokens)
    check_port_is_free(settings)
    check_certificate(settings)
    if not tokens.list() and not settings.allow_anonymous_loopback:
        log.warning("no token yet: create one with `onsight token create NAME`; it works without a restart")
    OnsightApplication(settings, tokens).run()


def check_port_is_free(settings: ServerSettings) -> None:
    """Raises ConfigurationError where another program listens already; Gunicorn would not say what to do."""
    host = settings.host.strip("[]")
    try:
        family = socket.getaddrinfo(host, settings.port, type=socket.SOCK_STREAM)[0][0]
    except OSError:
        return  # Gunicorn says what is wrong with the address
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, settings.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ConfigurationError(
                    f"port {settings.port}: expected it to be free, found another program on it. Stop that, or choose"
                    " another with --port or ONSIGHT_PORT."
                ) from error


def check_certificate(settings: ServerSettings) -> None:
    """Raises ConfigurationError where TLS is asked for and could not work."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            settings.tls_certificate, settings.tls_key, password=""
        )
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"TLS: expected a PEM certificate in {settings.tls_certificate} and its private key in {settings.tls_key},"
            f" readable and without a password, found {error}."
        ) from error


class OnsightApplication(BaseApplication):  # type: ignore[misc]
    """One server: lives in the parent, and after each fork in a worker."""

    def __init__(self, settings: ServerSettings, tokens: TokenStore) -> None:
        self.settings = settings
        self.board = Board(2 * settings.worker_count + 8)
        self._tokens = tokens
        self._lifecycle = Lifecycle()
        self._shelf = Shelf((), ())
        super().__init__()

    @property
    def max_body_bytes(self) -> int:
        """A longer body is refused unread."""
        return self.settings.max_image_bytes + FORM_OVERHEAD_BYTES

    def may_accept(self) -> bool:
        """Whether this worker takes connections yet."""
        return True

    def count_refusal(self, refusal: Refusal) -> None:
        """A worker answered without the application."""

    def load_config(self) -> None:
        for name, value in gunicorn_options(self.settings, self._read_shelf).items():
            self.cfg.set(name, value)
        self.cfg.set("pre_fork", self._before_fork)
        self.cfg.set("child_exit", self._after_exit)

    def load(self) -> FastLane:
        """In a worker: make the app, and load the models, beside it at the first start, else before any request."""
        settings = self.settings
        shelf, self._shelf = self._shelf, Shelf((), ())  # the parent keeps its own; this process lets go after loading
        options = OnnxRuntimeOptions(settings.providers, settings.provider_fallback, settings.intra_op_threads)
        limits = ImageLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
        registry = Registry(shelf, onnx_runtime_factory(options), limits)

        def load_models() -> None:
            registry.load()
            self._lifecycle.mark_served()

        if self._lifecycle.served:
            load_models()
        else:
            threading.Thread(target=load_models, name="load-models", daemon=True).start()
        return FastLane(create_app(settings, registry, self._tokens, self._lifecycle))

    def _before_fork(self, _arbiter: Any, worker: OnsightWorker) -> None:
        worker.board_slot = self.board.claim()

    def _after_exit(self, _arbiter: Any, worker: OnsightWorker) -> None:
        self.board.release(worker.board_slot)

    def run(self) -> None:
        OnsightArbiter(self, self._lifecycle, self.settings.drain_s).run()

    def _read_shelf(self, _arbiter: Any) -> None:
        """In the parent, before workers are forked: verify everything once."""
        self._shelf = read_shelf(self.settings.models_dir, TrustStore(OnsightHome(self.settings.home).trust_dir))
        log.info(
            "bundles verified",
            extra={
                "folder": str(self.settings.models_dir),
                "good": len(self._shelf.bundles),
                "bad": len(self._shelf.failures),
                "url": self.settings.url,
            },
        )
        if not self._shelf.bundles:
            log.warning("nothing to serve: put .onsight bundles into the folder, then send SIGHUP or start again")
        gc.collect()
        gc.freeze()  # what stands now is shared by all workers; their collectors need not touch it


def gunicorn_options(settings: ServerSettings, read_shelf_hook: Callable[[Any], None]) -> dict[str, object]:
    """Our settings in Gunicorn's names."""
    options: dict[str, object] = {
        "bind": f"[{settings.host}]:{settings.port}" if ":" in settings.host else f"{settings.host}:{settings.port}",
        "workers": settings.worker_count,
        "worker_class": OnsightWorker,
        "worker_connections": settings.max_connections,
        "timeout": settings.worker_timeout_s,
        "graceful_timeout": settings.graceful_timeout_s,
        "keepalive": settings.keepalive_s,
        "loglevel": settings.log_level,
        "logger_class": GunicornLogger,
        "proc_name": "onsight",
        "control_socket_disable": True,
        "sendfile": False,
        "forwarded_allow_ips": "",
        "when_ready": read_shelf_hook,
        "on_reload": read_shelf_hook,
    }
    if settings.tls_certificate is not None and settings.tls_key is not None:
        options |= {"certfile": str(settings.tls_certificate), "keyfile": str(settings.tls_key)}
    if os.access(SHARED_MEMORY, os.W_OK):
        options["worker_tmp_dir"] = SHARED_MEMORY
    return options
