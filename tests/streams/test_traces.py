"""Traces of events: each stage's span is a child of the one before, and nothing is traced that need not be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from schemas import codec
from streams import traces
from tests.sinks.examples import match

EVENT = match()
VALUE = codec.encode(EVENT)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(traces, "_tracer", provider.get_tracer("facestream"))
    yield exporter
    assert not traces._under_way


def named(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {one.name: one for one in spans.get_finished_spans()}


def test_a_trace_goes_from_stage_to_stage(spans: InMemorySpanExporter) -> None:
    with traces.sent("frames", EVENT.event_id) as headers:
        assert headers is not None
    for stage, topic in (("embed", "frames"), ("match", "embeddings")):
        with traces.processed(stage, [(topic, VALUE, headers), ("frames", b"rubbish", ())]):
            headers = traces.headers(VALUE)
            assert traces.headers(b"rubbish") == []
    found = named(spans)
    first, second, third = found["send frames"], found["embed frames"], found["match embeddings"]
    assert {one.context.trace_id for one in (first, second, third)} == {first.context.trace_id}
    assert second.parent is not None and second.parent.span_id == first.context.span_id
    assert third.parent is not None and third.parent.span_id == second.context.span_id
    assert dict(third.attributes or {}) == {
        "messaging.system": "kafka",
        "messaging.destination.name": "embeddings",
        "facestream.event_id": EVENT.event_id,
    }


def test_what_fails_is_marked(spans: InMemorySpanExporter) -> None:
    with traces.sent("frames", EVENT.event_id) as headers:
        assert headers is not None
    with pytest.raises(KeyError), traces.processed("embed", [("frames", VALUE, headers)]):
        raise KeyError
    assert named(spans)["embed frames"].status.status_code is trace.StatusCode.ERROR


def test_messages_without_a_trace_make_no_spans(spans: InMemorySpanExporter) -> None:
    with traces.processed("embed", [("frames", VALUE, ()), ("frames", VALUE, [("traceparent", None)])]):
        assert traces.headers(VALUE) == []
    assert not named(spans)


def test_nothing_is_traced_unless_it_is_asked_for() -> None:
    with traces.sent("frames", EVENT.event_id) as headers:
        assert headers is None
    with traces.processed(
        "embed", [("frames", VALUE, [("traceparent", b"00-" + b"1" * 32 + b"-" + b"1" * 16 + b"-01")])]
    ):
        assert traces.headers(VALUE) == []
