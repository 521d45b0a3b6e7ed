"""Run the server: Gunicorn, configured from `ServerSettings` alone.

In this order: refuse an unsafe address, open the port, fork. Each worker keeps its own models (a runtime's threads do
not survive a fork) in step with the models folder, and shares weights with the others. SIGHUP makes them look at once.
SIGTERM: readiness turns 503, the port stays open for `drain_s`, then running requests finish, then exit 0.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import logging
import os
import resource
import socket
import threading
import time
from typing import Any

from gunicorn.app.base import BaseApplication

from bundle.decode import ImageLimits
from bundle.home import OnsightHome
from licenses.gate import Usage
from licenses.opener import opener_of
from server.app import create_app
from server.auth import check_safe_to_listen
from server.context import ServerContext
from server.errors import ConfigurationError
from server.fast_lane import FastLane
from server.heap import keep_one_heap
from server.hosting.arbiter import OnsightArbiter
from server.hosting.board import Board
from server.hosting.engines import engine_factory, engine_processes
from server.hosting.lifecycle import Lifecycle
from server.hosting.notify import ServiceManager
from server.hosting.refusals import Refusal
from server.hosting.run_folder import RunFolder
from server.hosting.tls import Certificate
from server.hosting.worker import OnsightWorker
from server.logs import GunicornLogger, configure_logging
from server.metrics import Metrics
from server.models.changes import WAIT_S as LONGEST_CHANGE_S
from server.models.changes import Changes
from server.models.entitlement import Entitlement, entitlement_of
from server.models.keeper import Keeper
from server.models.last_good import LastGoodStore
from server.models.registry import Registry
from server.models.variants import VariantPolicy
from server.models.wishes import Wishes
from server.settings import ServerSettings
from server.tokens import TokenStore
from server.tracing import Application, TracedApplication, TraceIdFilter, Tracing, check_telemetry_installed
from server.uploads import FORM_OVERHEAD_BYTES

log = logging.getLogger("onsight.server")

GENERATION_POLL_S = 0.1
SPARE_FILES = 256  # beside connections: models, pipes, counters
MIN_CONNECTIONS = 16
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - Gunicorn's heartbeat files; on a disk they could block a worker


def serve(settings: ServerSettings) -> None:
    """Serve until told to stop; ends by SystemExit(0) on SIGTERM and SIGINT.

    Raises ConfigurationError for an address that is not safe to listen on, TokenStoreError for a broken token file.
    """
    keep_one_heap()
    configure_logging(settings.log_format, settings.log_level)
    tokens = TokenStore(OnsightHome(settings.home).tokens_path)
    check_safe_to_listen(settings, tokens)
    check_port_is_free(settings)
    if settings.otlp_endpoint is not None:
        check_telemetry_installed()
    if not tokens.list() and not settings.allow_anonymous_loopback:
        log.warning("no token yet: create one with `onsight token create NAME`; it works without a restart")
    OnsightApplication(settings, tokens).run()


def allow_connections(wanted_connections: int) -> int:
    """Raise this process's limit of open files as far as so many need; many systems begin at 1,024.

    Returns how many a worker may really keep open.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = wanted_connections + SPARE_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if soft == resource.RLIM_INFINITY or wanted_connections + SPARE_FILES <= soft:
        return wanted_connections
    connections = max(MIN_CONNECTIONS, soft - SPARE_FILES)
    log.warning("fewer connections than set: raise the limit of open files", extra={"connections": connections})
    return connections


def import_shared_libraries(*, with_runtime: bool) -> None:
    """In the parent: what every worker needs, so that its memory is one for all of them. None of it starts a thread.

    with_runtime: where workers run models. Without ONNX Runtime here each would hold 9 MB of its own for it.
    """
    import prometheus_client.multiprocess  # noqa: F401

    if with_runtime:
        with contextlib.suppress(ImportError):  # loading a model says so
            import onnxruntime  # noqa: F401 - a session, which has threads, is opened in a worker alone


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


def open_certificate(settings: ServerSettings) -> Certificate | None:
    """None where plain HTTP is spoken. Raises ConfigurationError where TLS is asked for and could not work."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return Certificate(settings.tls_certificate, settings.tls_key)


class OnsightApplication(BaseApplication):  # type: ignore[misc]
    """One server: lives in the parent, and after each fork in a worker."""

    def __init__(self, settings: ServerSettings, tokens: TokenStore) -> None:
        self.settings = settings
        self.certificate = open_certificate(settings)
        self.board = Board(2 * settings.worker_count + 8)
        self._tokens = tokens
        self._lifecycle = Lifecycle()
        self._registry = Registry()
        self._run_folder = RunFolder(settings.home)
        self._wishes = Wishes(settings.home / "serving" / "wishes.json")
        self._engine_processes = engine_processes(settings)
        self._slot = 0
        self._tracing: Tracing | None = None
        super().__init__()

    @property
    def max_body_bytes(self) -> int:
        """A longer body is refused unread."""
        return max(self.settings.max_image_bytes + FORM_OVERHEAD_BYTES, self.settings.max_request_bytes)

    @property
    def hang_s(self) -> float:
        """A request that takes longer hangs: it can no longer be one that waits as the settings let it."""
        settings = self.settings
        return max(settings.worker_timeout_s, settings.load_wait_s + settings.request_timeout_s, LONGEST_CHANGE_S)

    def may_accept(self) -> bool:
        """Whether this worker takes connections: not while it loads and a sibling is able to answer."""
        return self._registry.loaded or not self._lifecycle.served

    def count_refusal(self, refusal: Refusal) -> None:
        """A worker answered without the application."""
        self._parts.metrics.refused(refusal.code)

    def load_config(self) -> None:
        for name, value in gunicorn_options(self.settings).items():
            self.cfg.set(name, value)
        self.cfg.set("worker_connections", allow_connections(self.settings.max_connections))
        self.cfg.set("when_ready", self._when_ready)
        self.cfg.set("pre_fork", self._before_fork)
        self.cfg.set("post_fork", self._after_fork)
        self.cfg.set("child_exit", self._after_exit)
        self.cfg.set("worker_exit", self._before_exit)

    def load(self) -> Application:
        """In a worker: make the app, and keep the models beside it."""
        settings = self.settings
        entitlement = self._new_entitlement()
        threading.Thread(target=self._keep_models, args=(entitlement,), name="keep-models", daemon=True).start()
        if settings.otlp_endpoint is not None:
            self._tracing = Tracing(settings.otlp_endpoint)
            for handler in logging.getLogger().handlers:
                handler.addFilter(TraceIdFilter(self._tracing))
        gc.set_threshold(20_000, 20, 50)  # a request leaves little behind, and a collection costs it its cache
        self._parts = ServerContext(
            settings,
            self._registry,
            self._tokens,
            self._lifecycle,
            self.board,
            Changes(
                self._registry,
                self._wishes,
                self._lifecycle,
                self.board,
                every_version=settings.serve_versions == "all",
            ),
            Metrics(
                self._run_folder.subfolder("metrics"),
                self._registry,
                self.board,
                self._slot,
                self._tracing,
                entitlement,
            ),
            self._engine_processes,
            entitlement,
        )
        app = FastLane(create_app(self._parts))
        return app if self._tracing is None else TracedApplication(app, self._tracing)

    def _new_entitlement(self) -> Entitlement:
        """What asks for licences where a model demands one."""
        settings = self.settings

        def usage() -> Usage:
            computed_at_once = settings.worker_count * settings.thread_count
            return Usage(servers=self._run_folder.rank, gpus=settings.gpu_count, concurrency=computed_at_once)

        return entitlement_of(OnsightHome(settings.home), usage, self._run_folder.subfolder("announced"))

    def _keep_models(self, entitlement: Entitlement) -> None:
        """In a worker, for good: load, then follow the folder."""
        settings, home = self.settings, OnsightHome(self.settings.home)
        keeper = Keeper(
            settings.models_dir,
            home.trust_dir,
            self._registry,
            engine_factory(settings, self._run_folder.subfolder("graphs"), self._engine_processes),
            ImageLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels),
            store=(
                LastGoodStore(home.path, settings.models_dir, opener_of(home.licenses_dir))
                if settings.keep_last_good
                else None
            ),
            wishes=self._wishes,
            lock=self._run_folder.path / "loading.lock",
            every_version=settings.serve_versions == "all",
            policy=VariantPolicy(settings.precision, self._run_folder.subfolder("variants"), settings.providers),
            licenses_dir=home.licenses_dir,
            entitlement=entitlement,
        )
        generation = -1
        looked_at = 0.0
        while True:
            wanted = self._lifecycle.generation
            now = time.monotonic()
            try:
                if wanted != generation:
                    keeper.look(forced=True)
                elif settings.watch_interval_s and now - looked_at >= settings.watch_interval_s:
                    keeper.look()
                elif keeper.hour_is_over:  # nobody watches the folder, yet licences end
                    keeper.look(licenses_alone=True)
                else:
                    time.sleep(min(GENERATION_POLL_S, settings.watch_interval_s or GENERATION_POLL_S))
                    continue
            except Exception:
                log.exception("models folder not looked at")
            generation, looked_at = wanted, time.monotonic()
            if self._registry.loaded:
                self._lifecycle.mark_served()
            self.board.report_models(self._slot, self._registry.table.digest, generation)

    def run(self) -> None:
        try:
            service_manager = ServiceManager.taken_from(os.environ)
            OnsightArbiter(self, self._lifecycle, self.settings.drain_s, service_manager, self._tend).run()
        finally:
            if self._engine_processes:
                self._engine_processes.stop()
            self._run_folder.remove()

    def _tend(self) -> None:
        """In the parent, often."""
        if self._engine_processes:
            self._engine_processes.tend()

    def _before_fork(self, _arbiter: Any, worker: OnsightWorker) -> None:
        worker.board_slot = self.board.claim()

    def _after_exit(self, _arbiter: Any, worker: OnsightWorker) -> None:
        self.board.release(worker.board_slot)

    def _before_exit(self, _arbiter: Any, _worker: OnsightWorker) -> None:
        """In a worker."""
        if self._tracing is not None:
            self._tracing.close()

    def _after_fork(self, _arbiter: Any, worker: OnsightWorker) -> None:
        self._slot = worker.board_slot

    def _when_ready(self, _arbiter: Any) -> None:
        """In the parent, before workers are forked."""
        log.info("serving", extra={"url": self.settings.url, "folder": str(self.settings.models_dir)})
        if self._engine_processes:
            self._engine_processes.start()
        import_shared_libraries(with_runtime=self._engine_processes is None)
        gc.collect()
        gc.freeze()  # what stands now is shared by all workers; their collectors need not touch it


def gunicorn_options(settings: ServerSettings) -> dict[str, object]:
    """Our settings in Gunicorn's names."""
    options: dict[str, object] = {
        "bind": f"[{settings.host}]:{settings.port}" if ":" in settings.host else f"{settings.host}:{settings.port}",
        "workers": settings.worker_count,
        "worker_class": OnsightWorker,
        "timeout": settings.worker_timeout_s,
        "graceful_timeout": settings.graceful_timeout_s,
        "keepalive": settings.keepalive_s,
        "loglevel": settings.log_level,
        "logger_class": GunicornLogger,
        "proc_name": "onsight",
        "control_socket_disable": True,
        "sendfile": False,
        "forwarded_allow_ips": "",
    }
    if settings.tls_certificate is not None and settings.tls_key is not None:
        options |= {"certfile": str(settings.tls_certificate), "keyfile": str(settings.tls_key)}
    if os.access(SHARED_MEMORY, os.W_OK):
        options["worker_tmp_dir"] = SHARED_MEMORY
    return options
