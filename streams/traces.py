"""OpenTelemetry traces of events, from producers to sinks: the header ``traceparent`` carries them through Kafka.

Each stage makes a span for each traced event that it processes, whose parent is the span of the stage before. Messages
that carry no trace make none, so the producer, with its sampler, decides what is traced. Off unless :func:`start` was
called, as ``FACESTREAM_TRACES`` has it; the packages come with the extra ``traces``. Where spans go, and how many, say
OpenTelemetry's own variables: ``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_TRACES_SAMPLER``.

Sources: W3C Trace Context; OpenTelemetry's semantic conventions for messaging.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from schemas import codec
from schemas.errors import FacestreamError

HEADER = "traceparent"
_FLUSH_MS = 2_000
Headers = list[tuple[str, str | bytes | None]]
"""As Kafka's client takes them."""
Traced = tuple[str, bytes | None, Sequence[tuple[str, str | bytes | None]]]
"""Topic, value and headers of a message."""

_tracer: Any = None
"""OpenTelemetry's tracer; None: nothing is traced."""
_under_way: dict[str, Any] = {}
"""The context of each traced event that this process works on, by its event id."""


class TracesMissing(FacestreamError):
    """Traces were asked for, and the packages for them are not installed."""


def start(stage: str) -> None:
    """Trace from now on, to the provider of this process if it has one, otherwise to an OTLP exporter.

    Args:
        stage: the name of the service in traces, such as the role of the worker.

    Raises:
        TracesMissing: the extra ``traces`` is not installed.
    """
    global _tracer
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TracesMissing(
            f"FACESTREAM_TRACES needs more packages: pip install 'facestream[traces]' ({error})"
        ) from error
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        provider = TracerProvider(resource=Resource.create({"service.name": f"facestream-{stage}"}))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(provider)
    _tracer = trace.get_tracer("facestream")


def flush() -> None:
    """Send the spans that have ended, if anything is traced."""
    if _tracer is not None:
        from opentelemetry import trace

        provider: Any = trace.get_tracer_provider()
        provider.force_flush(_FLUSH_MS)


@contextmanager
def sent(topic: str, event_id: str) -> Iterator[Headers | None]:
    """The span of a producer that hands an event over; gives the headers of its message."""
    if _tracer is None:
        yield None
        return
    from opentelemetry.trace import SpanKind

    with _tracer.start_as_current_span(
        f"send {topic}", kind=SpanKind.PRODUCER, attributes=_attributes(topic, event_id)
    ):
        yield _injected(None)


@contextmanager
def processed(stage: str, messages: Iterable[Traced]) -> Iterator[None]:
    """The spans of a stage that processes messages; meanwhile :func:`headers` passes their traces on.

    Args:
        stage: the role of the worker.
        messages: those of its batch.
    """
    if _tracer is None:
        yield
        return
    from opentelemetry import trace
    from opentelemetry.propagate import extract
    from opentelemetry.trace import SpanKind, Status, StatusCode

    spans: dict[str, Any] = {}
    for topic, value, carried in messages:
        parent = next((text for name, text in carried if name == HEADER and isinstance(text, bytes)), None)
        event_id = codec.event_id(value)
        if parent is None or event_id is None:
            continue
        context = extract({HEADER: parent.decode("ascii", "replace")})
        spans[event_id] = _tracer.start_span(
            f"{stage} {topic}", context, kind=SpanKind.CONSUMER, attributes=_attributes(topic, event_id)
        )
        _under_way[event_id] = trace.set_span_in_context(spans[event_id], context)
    try:
        yield
    except Exception as error:
        for span in spans.values():
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
        raise
    finally:
        for event_id, span in spans.items():
            _under_way.pop(event_id, None)
            span.end()


def headers(value: bytes | None) -> Headers:
    """The headers of a message about an event that is being processed: none if the event is not traced."""
    if not _under_way:
        return []
    event_id = codec.event_id(value)
    context = _under_way.get(event_id) if event_id is not None else None
    return [] if context is None else _injected(context)


def _injected(context: Any) -> Headers:
    from opentelemetry.propagate import inject

    carrier: dict[str, str] = {}
    inject(carrier, context)
    return [(HEADER, carrier[HEADER].encode())] if HEADER in carrier else []


def _attributes(topic: str, event_id: str) -> dict[str, str]:
    return {"messaging.system": "kafka", "messaging.destination.name": topic, "facestream.event_id": event_id}
