"""Counters of all workers, for Prometheus. Triton's names where they mean the same; docs/operations.md lists them.

Each worker counts into files of the run folder that it maps; whichever worker is asked adds up all of them. Files
belong to the worker's slot on the board, so a worker that takes a dead one's place goes on with its counts. What is a
state and not a count (queue, connections, models) is read at that moment. Counting a prediction takes microseconds.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from server.engines.protocol import is_ready
from server.hosting.board import Board
from server.models.entitlement import Entitlement
from server.models.model import ServedModel
from server.models.registry import Registry

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from server.tracing import Tracing

log = logging.getLogger("onsight.server")

SECONDS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.5, 5, 10, 30)
MODEL = ("project", "model", "version")
# Counts of a worker, and as much again for its histogram: 170 versions of models, or so; then the library makes room.
RESERVED_BYTES = 512 * 1024
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """One a worker. folder: shared by the workers of a server; None counts this process alone.  slot: of the worker.

    tracing: hears of requests what the counters hear.  entitlement: whose licences are told of.
    """

    def __init__(
        self, folder: Path | None, registry: Registry, board: Board | None, slot: int = 0,
        tracing: Tracing | None = None, entitlement: Entitlement | None = None,
    ) -> None:  # fmt: skip
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values

        if folder is not None and not _reserve(folder, slot):
            folder = None
        if folder is not None:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
            values.ValueClass = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]

        self._tracing = tracing
        self._folder = folder
        self._models = registry
        self._board = board
        self._entitlement = entitlement
        self._own = own = CollectorRegistry()

        def counter(name: str, text: str, labels: tuple[str, ...]) -> Counter:
            return Counter(name, text, labels, registry=own)

        self._success = counter("nv_inference_request_success", "Requests that a model answered", MODEL)
        self._failure = counter("nv_inference_request_failure", "Predictions refused or failed", (*MODEL, "code"))
        self._images = counter("nv_inference_count", "Images that a model was asked about", MODEL)
        self._runs = counter("nv_inference_exec_count", "Requests or batches computed", MODEL)
        self._request_us = counter("nv_inference_request_duration_us", "Request to answer, summed", MODEL)
        self._queue_us = counter("nv_inference_queue_duration_us", "Waiting for a thread, summed", MODEL)
        self._decode_us = counter("nv_inference_compute_input_duration_us", "Decoding images, summed", MODEL)
        self._infer_us = counter("nv_inference_compute_infer_duration_us", "Inference, summed", MODEL)
        self._seconds = Histogram(
            "onsight_prediction_seconds", "Request to answer", MODEL, registry=own, buckets=SECONDS
        )
        self._last = Gauge(
            "onsight_last_prediction_timestamp_seconds", "When the last answer was given", MODEL, registry=own,
            multiprocess_mode="max",
        )  # fmt: skip
        self._http = counter("onsight_http_requests", "All requests", ("method", "route", "status"))
        self._refused = counter("onsight_requests_refused", "Refused before the application saw them", ("code",))
        self._children: dict[tuple[str, str, str], tuple[object, ...]] = {}

    def predicted(
        self, model: ServedModel, images: int, queue_s: float, decode_ms: float, inference_ms: float, request_s: float
    ) -> None:
        """A request that was answered. request_s: without the time in the queue."""
        labels = (model.facts.project, model.manifest.name, model.manifest.version)
        known = self._children.get(labels)  # by name and not by model, which must be able to go
        if known is None:
            every = (self._success, self._images, self._runs, self._request_us, self._queue_us, self._decode_us,
                     self._infer_us, self._seconds, self._last)  # fmt: skip
            if len(self._children) > 256:  # models come and go
                self._children.clear()
            known = self._children[labels] = tuple(each.labels(*labels) for each in every)
        success, count, runs, request_us, queue_us, decode_us, infer_us, seconds, last = known
        success.inc()  # type: ignore[attr-defined]
        count.inc(images)  # type: ignore[attr-defined]
        runs.inc()  # type: ignore[attr-defined]
        request_us.inc((request_s + queue_s) * 1e6)  # type: ignore[attr-defined]
        queue_us.inc(queue_s * 1e6)  # type: ignore[attr-defined]
        decode_us.inc(decode_ms * 1e3)  # type: ignore[attr-defined]
        infer_us.inc(inference_ms * 1e3)  # type: ignore[attr-defined]
        seconds.observe(request_s + queue_s)  # type: ignore[attr-defined]
        last.set_to_current_time()  # type: ignore[attr-defined]
        if self._tracing is not None:
            self._tracing.predicted(model, images, decode_ms, inference_ms)

    def failed(self, code: str, model: str, version: str) -> None:
        """A prediction that ended in a problem. model: project/name."""
        project, _, name = model.partition("/")
        self._failure.labels(project, name, version, code).inc()
        if self._tracing is not None:
            self._tracing.failed(code)

    def answered(self, method: str, route: str, status: int) -> None:
        """Any request. route: the rule, never the address."""
        self._http.labels(method, route, str(status)).inc()
        if self._tracing is not None:
            self._tracing.answered(method, route, status)

    def refused(self, code: str) -> None:
        """A request that the worker refused without the application."""
        self._refused.labels(code).inc()

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format."""
        from prometheus_client import CollectorRegistry, generate_latest

        state = CollectorRegistry()
        state.register(_State(self._models, self._board, self._entitlement))
        return bytes(generate_latest(self._counted()) + generate_latest(state))

    def counts(self) -> dict[tuple[str, ...], dict[str, float]]:
        """What was counted for each version of a model, by the names of the exposition; of failures the sum."""
        found: dict[tuple[str, ...], dict[str, float]] = {}
        for family in self._counted().collect():
            for sample in family.samples:
                if {*MODEL} <= sample.labels.keys():
                    of_model = found.setdefault(tuple(sample.labels[label] for label in MODEL), {})
                    of_model[sample.name] = of_model.get(sample.name, 0.0) + sample.value
        return found

    def _counted(self) -> CollectorRegistry:
        """The counters of all workers."""
        from prometheus_client import CollectorRegistry
        from prometheus_client.multiprocess import MultiProcessCollector

        if self._folder is None:
            return self._own
        counted = CollectorRegistry()
        MultiProcessCollector(counted, str(self._folder))  # type: ignore[no-untyped-call]
        return counted


def _reserve(folder: Path, slot: int) -> bool:
    """Take the files' room on the disk now: to touch a mapped page that a full disk has no room for ends a process."""
    try:
        for kind in ("counter", "histogram", "gauge_max"):
            with (folder / f"{kind}_{slot}.db").open("ab") as file:
                os.posix_fallocate(file.fileno(), 0, max(RESERVED_BYTES, file.tell()))
    except OSError as error:
        log.warning("metrics of this worker not shared", extra={"reason": error.strerror})
        return False
    return True


class _State:
    """What is so at this moment."""

    def __init__(self, registry: Registry, board: Board | None, entitlement: Entitlement | None) -> None:
        self._registry = registry
        self._board = board
        self._entitlement = entitlement

    def collect(self) -> Iterable[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        workers = self._board.workers() if self._board else []
        for name, text, value in (
            ("nv_inference_pending_request_count", "Predictions that wait", sum(each.waiting for each in workers)),
            ("onsight_connections", "Open connections", sum(each.connections for each in workers)),
            ("onsight_workers", "Worker processes", len(workers)),
            ("onsight_workers_accepting", "Workers that take connections", sum(each.accepting for each in workers)),
        ):
            yield GaugeMetricFamily(name, text, value=float(value))
        ready = GaugeMetricFamily(
            "onsight_model_ready",
            "Models: 1 where it answers, 0 while its process is being started again; and what runs it",
            labels=(*MODEL, "provider", "device", "library", "precision"),
        )
        for model in self._registry.models:
            engine = model.engine
            what = (model.facts.project, model.manifest.name, model.manifest.version)
            runs = (engine.providers[0], engine.device, engine.library, model.variant.precision)
            ready.add_metric((*what, *runs), float(is_ready(engine)))
        yield ready
        failed = GaugeMetricFamily("onsight_bundles_failed", "Bundles that do not serve", labels=("project", "code"))
        counts: dict[tuple[str, str], int] = {}
        for failure in self._registry.failures:
            counts[failure.project, failure.code] = counts.get((failure.project, failure.code), 0) + 1
        for labels_, count in sorted(counts.items()):
            failed.add_metric(labels_, float(count))
        yield failed
        if self._entitlement is not None and self._entitlement.holdings:
            yield from _of_licenses(self._entitlement)


def _of_licenses(entitlement: Entitlement) -> Iterable[Metric]:
    """As they stood at the last look, an hour ago at most."""
    from prometheus_client.core import GaugeMetricFamily

    names = ("license", "issuer")
    state = GaugeMetricFamily(
        "onsight_license_state", "Licences: 1 for the state that each is in", labels=(*names, "state")
    )
    left = GaugeMetricFamily("onsight_license_seconds_left", "Until a licence ends, negative after it", labels=names)
    for holding in entitlement.holdings:
        labels = (holding.name, holding.issuer or "")
        state.add_metric((*labels, holding.state), 1.0)
        if holding.standing is not None and holding.standing.remaining is not None:
            left.add_metric(labels, holding.standing.remaining.total_seconds())
    yield state
    yield left
    behind = entitlement.clock_behind.total_seconds()
    yield GaugeMetricFamily("onsight_clock_behind_seconds", "Host's clock behind what has been", value=behind)
