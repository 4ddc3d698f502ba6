"""One AppendRows call: sends requests in order, and receives the answers in the same order."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import grpc
from google.cloud.bigquery_storage_v1 import BigQueryWriteClient
from google.cloud.bigquery_storage_v1.types import AppendRowsRequest, AppendRowsResponse, ProtoRows, ProtoSchema
from google.protobuf.descriptor_pb2 import DescriptorProto


class NoAnswer(Exception):
    """No answer came in time."""


class Closed(Exception):
    """The call has ended; ``code`` is its status."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        """Keep the status."""
        super().__init__(f"{code.name}: {details}")
        self.code = code


class Connection:
    """Appends to one explicitly created stream; BigQuery requires a connection for each.

    The call has no deadline, because it stays open between batches; waiting for an answer has one.
    """

    def __init__(self, client: BigQueryWriteClient, stream: str, schema: DescriptorProto) -> None:
        """Open the call. It does not fail if the server is away; :meth:`receive` does."""
        self._stream = stream
        self._schema: DescriptorProto | None = schema
        self._requests: SimpleQueue[AppendRowsRequest | None] = SimpleQueue()
        self._answers: SimpleQueue[AppendRowsResponse | Closed] = SimpleQueue()
        self.last_heard = time.monotonic()
        # The client's own method would wait for a first answer before it returns.
        append_rows: Any = client.transport.append_rows
        routing = ("x-goog-request-params", f"write_stream={stream}")
        self._call = append_rows(iter(self._requests.get, None), metadata=(routing,))
        self._reader = Thread(target=self._read, name="append-rows", daemon=True)
        self._reader.start()

    @property
    def ended(self) -> bool:
        """Whether the server has closed the call, as it does with an idle one."""
        return not self._reader.is_alive()

    def send(self, rows: Sequence[bytes], offset: int) -> None:
        """Send rows for this offset of the stream."""
        request = AppendRowsRequest(offset=offset, proto_rows={"rows": ProtoRows(serialized_rows=rows)})
        if self._schema is not None:  # Only the first request carries the schema.
            request.write_stream = self._stream
            request.proto_rows.writer_schema = ProtoSchema(proto_descriptor=self._schema)
            request.trace_id = "facestream:sink"
            self._schema = None
        self._requests.put(request)

    def receive(self, timeout_s: float) -> AppendRowsResponse:
        """Wait for the next answer.

        Raises:
            NoAnswer: none within ``timeout_s``.
            Closed: the call has ended.
        """
        try:
            answer = self._answers.get(timeout=max(0.0, timeout_s))
        except Empty:
            raise NoAnswer from None
        self.last_heard = time.monotonic()
        if isinstance(answer, Closed):
            raise answer
        return answer

    def close(self) -> None:
        """End the call."""
        self._requests.put(None)
        self._call.cancel()

    def _read(self) -> None:
        answers: Iterator[AppendRowsResponse] = iter(self._call)
        try:
            for answer in answers:
                self._answers.put(answer)
            closed = Closed(grpc.StatusCode.UNAVAILABLE, "the server ended the connection")
        except grpc.RpcError as error:
            status: Any = error
            closed = Closed(status.code(), status.details())
        self._requests.put(None)
        self._answers.put(closed)
