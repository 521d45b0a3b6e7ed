"""Spans of requests for an OpenTelemetry collector (OTLP over HTTP), where the operator names one.

A request's span begins when the whole request had arrived and has three children: queue, decode, inference. It
continues the trace of a client that sends `traceparent`, and every log line of the request carries the trace's id.
What became of a prediction comes from the same calls that the metrics hear. A thread of its own sends; when the
collector is away, spans are dropped and one line says so. No request ever waits for it or fails by it.

Built in a worker, after the fork; where no collector is named, none of this runs. Requests that are refused before the
application sees them have no span.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec
from wsgiref.types import StartResponse

from server.errors import ConfigurationError
from server.models.model import ServedModel
from server.request_facts import queue_seconds

if TYPE_CHECKING:
    from opentelemetry.trace import Span

log = logging.getLogger("onsight.server")

QUIET_PREFIXES = ("/health", "/metrics", "/static")  # asked every few seconds; no span unless they belong to a trace
TRACES_PATH = "/v1/traces"
SEND_EVERY_MS = 1000
CLOSE_WITHIN_S = 2.0

Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


def check_telemetry_installed() -> None:
    """In the parent, before it forks. Raises ConfigurationError."""
    if importlib.util.find_spec("opentelemetry") is None or (
        importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is None
    ):
        raise ConfigurationError(
            "ONSIGHT_OTLP_ENDPOINT: expected OpenTelemetry's SDK and its exporter, found neither installed. Install"
            " them (pip install 'onsight[telemetry]'), or unset it."
        )


P = ParamSpec("P")


def _harmless(method: Callable[Concatenate[Tracing, P], None]) -> Callable[Concatenate[Tracing, P], None]:
    """What goes wrong within is logged, and costs a span and not the request."""

    @wraps(method)
    def call(tracing: Tracing, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(tracing, *args, **kwargs)
        except Exception:
            log.exception("span not made")

    return call


class RequestSpan:
    """One request on its way: its span, and what is known of it so far."""

    __slots__ = ("queue_s", "span", "started_ns", "trace_id")

    def __init__(self, span: Span, started_ns: int, queue_s: float) -> None:
        self.span = span
        self.started_ns = started_ns
        self.queue_s = queue_s
        self.trace_id = f"{span.get_span_context().trace_id:032x}"


class Tracing:
    """One a worker. endpoint: the collector's address, without a path."""

    def __init__(self, endpoint: str) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # says of each failed batch what we say once
        facts: dict[str, str | int] = {
            "service.name": os.environ.get("OTEL_SERVICE_NAME", "onsight"),
            "service.version": version("onsight"),
            "process.pid": os.getpid(),
        }
        self._provider = TracerProvider(resource=Resource.create(facts), shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(_exporter(endpoint.rstrip("/") + TRACES_PATH), schedule_delay_millis=SEND_EVERY_MS)
        )
        self._tracer = self._provider.get_tracer("onsight.server")
        self._propagator = TraceContextTextMapPropagator()
        self._local = threading.local()

    @_harmless
    def begin(self, environ: dict[str, Any]) -> None:
        """A thread takes up a request."""
        from opentelemetry.trace import SpanKind

        carrier = {
            name: environ[key]
            for name, key in (("traceparent", "HTTP_TRACEPARENT"), ("tracestate", "HTTP_TRACESTATE"))
            if key in environ
        }
        if not carrier and environ.get("PATH_INFO", "").startswith(QUIET_PREFIXES):
            return
        queue_s = queue_seconds(environ)
        started_ns = time.time_ns() - int(queue_s * 1e9)
        span = self._tracer.start_span(
            environ["REQUEST_METHOD"],
            self._propagator.extract(carrier),
            SpanKind.SERVER,
            {"url.scheme": environ["wsgi.url_scheme"]},
            start_time=started_ns,
        )
        self._local.request = RequestSpan(span, started_ns, queue_s)

    @property
    def current(self) -> RequestSpan | None:
        """This thread's request."""
        found: RequestSpan | None = getattr(self._local, "request", None)
        return found

    @_harmless
    def predicted(self, model: ServedModel, images: int, decode_ms: float, inference_ms: float) -> None:
        """The current request has its prediction, just now. Of many images the times are sums, told as one stretch."""
        request = self.current
        if request is None:
            return
        request.span.set_attributes(
            {
                "onsight.project": model.facts.project,
                "onsight.model": model.manifest.name,
                "onsight.version": model.manifest.version,
                "onsight.provider": model.engine.providers[0],
                "onsight.images": images,
            }
        )
        now = time.time_ns()
        inferring = now - int(inference_ms * 1e6)
        decoding = inferring - int(decode_ms * 1e6)
        taken_up = request.started_ns + int(request.queue_s * 1e9)
        self._child("queue", request, request.started_ns, taken_up)
        self._child("decode", request, max(decoding, taken_up), inferring)
        self._child("inference", request, inferring, now)

    @_harmless
    def failed(self, code: str) -> None:
        request = self.current
        if request is not None:
            request.span.set_attribute("error.type", code)

    @_harmless
    def answered(self, method: str, route: str, status: int) -> None:
        from opentelemetry.trace import StatusCode

        request = self.current
        if request is None:
            return
        request.span.update_name(f"{method} {route}")
        request.span.set_attributes(
            {"http.request.method": method, "http.route": route, "http.response.status_code": status}
        )
        if status >= 500:
            request.span.set_status(StatusCode.ERROR)

    @_harmless
    def end(self, request_id: str) -> None:
        """The current request has its answer."""
        request, self._local.request = self.current, None
        if request is not None:
            request.span.set_attribute("onsight.request_id", request_id)
            request.span.end()

    def close(self) -> None:
        """Send what is left, for a moment."""
        closing = threading.Thread(target=self._provider.shutdown, name="close-tracing", daemon=True)
        closing.start()
        closing.join(CLOSE_WITHIN_S)

    def _child(self, name: str, request: RequestSpan, start_ns: int, end_ns: int) -> None:
        from opentelemetry.trace import set_span_in_context

        child = self._tracer.start_span(name, set_span_in_context(request.span), start_time=start_ns)
        child.end(end_ns)


class TracedApplication:
    """A WSGI application whose requests have spans."""

    def __init__(self, app: Application, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        request_id = ""

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            nonlocal request_id
            request_id = next((value for name, value in headers if name == "X-Request-ID"), "")
            return start_response(status, headers, exc_info)

        self._tracing.begin(environ)
        try:
            return self._app(environ, start)
        finally:
            self._tracing.end(request_id)


class TraceIdFilter(logging.Filter):
    """Gives every line of a request the id of its trace."""

    def __init__(self, tracing: Tracing) -> None:
        super().__init__()
        self._tracing = tracing

    def filter(self, record: logging.LogRecord) -> bool:
        request = self._tracing.current
        if request is not None:
            record.trace_id = request.trace_id
        return True


def _exporter(url: str) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class RemarkingExporter(SpanExporter):
        """Says once that the collector is away, and once that it is back."""

        def __init__(self) -> None:
            self._exporter = OTLPSpanExporter(url, timeout=5)
            self._away = False

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            result = self._exporter.export(spans)
            away = result is not SpanExportResult.SUCCESS
            if away is not self._away:
                self._away = away
                log.log(
                    logging.WARNING if away else logging.INFO,
                    "spans are dropped: the collector does not take them"
                    if away
                    else "the collector takes spans again",
                    extra={"collector": url},
                )
            return result

        def shutdown(self) -> None:
            self._exporter.shutdown()  # type: ignore[no-untyped-call]

    return RemarkingExporter()
