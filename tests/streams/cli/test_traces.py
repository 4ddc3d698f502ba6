"""A frame's trace, from the producer to Redis, as an OTLP receiver gets it from real workers."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.streams.cli.conftest import run, worker
from tests.waiting import wait_until

PATIENT_S = 240


class Receiver(ThreadingHTTPServer):
    """Keeps the spans that are posted to it, with the service of each, and the bytes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[tuple[str, Span]] = []
        self.body = b""

    def chain(self) -> list[str]:
        """The services of the longest way from a span to its parents, the last one first."""
        spans = {span.span_id: (service, span) for service, span in list(self.spans)}
        best: list[str] = []
        for service, span in spans.values():
            way = [service]
            while span.parent_span_id in spans:
                service, span = spans[span.parent_span_id]
                way.append(service)
            best = max(best, way, key=len)
        return best


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
        assert isinstance(self.server, Receiver)
        request = ExportTraceServiceRequest()
        request.ParseFromString(body)
        self.server.body += body
        for resource in request.resource_spans:
            (service,) = (one.value.string_value for one in resource.resource.attributes if one.key == "service.name")
            self.server.spans += [(service, span) for scope in resource.scope_spans for span in scope.spans]
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_trace_goes_from_the_producer_to_redis(
    receiver: Receiver, cluster: dict[str, str], pictures: Path, tmp_path: Path
) -> None:
    env = cluster | {
        "FACESTREAM_TRACES": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.server_port}",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    created = run(("topics", "create"), env, tmp_path)
    assert created.code == 0, created.err
    with ExitStack() as running:
        for role in (("embed", "--embedder", "digest"), ("match", "--embedder", "digest"), ("sink-redis",)):
            running.enter_context(worker(role, env, tmp_path))
        enrolled = run(
            ("enrol", "--user", "anna-of-traces", "--subject", "anna", pictures / "anna" / "1.jpg"), env, tmp_path
        )
        assert enrolled.code == 0, enrolled.err
        wait_until(lambda: len(receiver.chain()) == 4, PATIENT_S, "spans of four stages")
    assert receiver.chain() == [f"facestream-{name}" for name in ("sink-redis", "match", "embed", "producer")]
    assert len({span.trace_id for _, span in receiver.spans}) == 1
    assert b"anna-of-traces" not in receiver.body
