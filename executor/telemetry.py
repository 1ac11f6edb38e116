"""OpenTelemetry: one trace for each run, a span for each step of the sentence. Only for those who ask for it.

It is asked for by `OTEL_EXPORTER_OTLP_ENDPOINT` or `EXECUTOR_OTEL=1`; the other variables of OpenTelemetry count too. A
run belongs to the trace that `TRACEPARENT` names (W3C Trace Context). A collector that is away changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from executor.errors import ExecutorError
from executor.log import get_logger
from executor.spec.canonical import Digest

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

    from executor.run import Result
    from executor.steps.site import Reporter

ENDPOINT, SWITCH = "OTEL_EXPORTER_OTLP_ENDPOINT", "EXECUTOR_OTEL"
FLUSH_S = 5
"""Seconds that the end of the program waits for the collector."""
FIRST = "looking in the store"
"""The step before any that a run tells of."""


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether somebody asks for spans."""
    return bool(environment.get(ENDPOINT)) or environment.get(SWITCH) == "1"


class Spans:
    """A reporter that passes everything on, and makes a span of each step of a run."""

    def __init__(self, whom: Reporter, provider: TracerProvider, environment: Mapping[str, str]) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        known = {name.lower(): environment[name] for name in ("TRACEPARENT", "TRACESTATE") if name in environment}
        self._whom, self._tracer = whom, provider.get_tracer("executor")
        self._outer = TraceContextTextMapPropagator().extract(known)
        self._run: Span | None = None
        self._step: Span | None = None

    def stage(self, text: str) -> None:
        """A step begins, and the one before it ends."""
        self._begin(text)
        self._whom.stage(text)

    def progress(self, what: str, done: int, total: int) -> None:
        """Pass it on."""
        self._whom.progress(what, done, total)

    def log(self, piece: bytes) -> None:
        """Pass it on."""
        self._whom.log(piece)

    @contextmanager
    def run(self, what: str, spec_hash: Digest) -> Iterator[Callable[[Result], None]]:
        """The span of one run; what is given is to be called with its result."""
        from opentelemetry.trace import Status, StatusCode

        about = {"executor.spec_hash": spec_hash.hex}
        self._run = span = self._tracer.start_span(what, self._outer, attributes=about)
        self._begin(FIRST)
        try:
            yield lambda result: span.set_attributes(_about(result))
        except ExecutorError as error:
            span.set_status(Status(StatusCode.ERROR, error.message))
            raise
        finally:
            self._end()
            span.end()
            self._run = None

    def _begin(self, text: str) -> None:
        from opentelemetry.trace import set_span_in_context

        self._end()
        if self._run:
            inside = set_span_in_context(self._run)
            name = re.split("[,:]", text)[0]
            self._step = self._tracer.start_span(name, inside, attributes={"executor.step": text})

    def _end(self) -> None:
        if self._step:
            self._step.end()
        self._step = None


def _about(result: Result) -> dict[str, str | bool]:
    record = result.record
    verdict = {"executor.verdict": record.comparison.verdict} if record.comparison else {}
    return {"executor.name": record.hints.name, "executor.attempt": record.attempt, "executor.status": record.status,
            "executor.cached": result.cached, "executor.store": result.url, **verdict}  # fmt: skip


def traced(what: str, spec_hash: Digest, reporter: Reporter, run: Callable[[], Result]) -> Result:
    """Run something that tells `reporter` of its steps; a trace of it where somebody asks for one."""
    if not isinstance(reporter, Spans):
        return run()
    with reporter.run(what, spec_hash) as ended:
        result = run()
        ended(result)
    return result


@contextmanager
def reporting(whom: Reporter, environment: Mapping[str, str], version: str) -> Iterator[Reporter]:
    """The reporter itself, or one that makes spans too and has sent them when the block ends."""
    provider = _provider(version) if wanted(environment) else None
    if provider is None:
        yield whom
        return
    try:
        yield Spans(whom, provider, environment)
    finally:
        provider.force_flush(FLUSH_S * 1000)
        provider.shutdown()


def _provider(version: str) -> TracerProvider | None:
    """What makes spans and sends them; None, and a warning, where OpenTelemetry is not installed."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        get_logger("telemetry").warning("no spans are sent: pip install 'repro-executor[telemetry]'")
        return None
    about = Resource.create({"service.name": "executor", "service.version": version})
    provider = TracerProvider(resource=about, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=FLUSH_S)))
    return provider
